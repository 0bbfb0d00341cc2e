"""Files over HTTP, from the client's side: folders are hashed and sent once, outputs are fetched.

An upload is a manifest of paths and hashes; the server asks only for the blobs it does not have yet.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from batch_endpoints.client.connection import Connection, at
from batch_endpoints.errors import InputError, ServerError
from batch_endpoints.storage.inputs.globs import Pattern

CHUNK_BYTES = 1 << 20
SENDERS = 4
NOT_CODE = frozenset({"__pycache__", ".git"})


@dataclass(frozen=True)
class LocalFile:
    """One file to send: where it stands in the upload, where it is, and what is in it."""

    path: str
    source: Path
    sha256: str
    size: int

    def open(self) -> BinaryIO:
        return self.source.open("rb") if self.size else BytesIO()


def upload(
    connection: Connection, path: Path, *, skip: frozenset[str] = frozenset(), pattern: Pattern | None = None
) -> str:
    """Make a local file or folder known to the server.

    Args:
        connection: the server.
        path: the file or folder; its name is the last part of the URI.
        skip: names of folders inside that stay here, see NOT_CODE.
        pattern: which files of the folder are sent; None is all of them.

    Returns:
        ``upload://<hash of the content>/<name>``, which stands for the path in whatever is sent to the server.

    Raises:
        InputError: there is nothing there, it is empty, unreadable, or reaches out of its folder.
    """
    files = manifest(path, skip, pattern)
    body = {
        "name": _name(path),
        "files": [{"path": f.path, "sha256": f.sha256, "size": f.size} for f in files],
    }
    answer = connection.json("POST", "/uploads", body=body, repeatable=True)
    if answer["missing"]:
        contents = {file.sha256: file for file in files}
        with ThreadPoolExecutor(SENDERS) as senders:
            for _ in senders.map(lambda digest: _send(connection, contents[digest]), answer["missing"]):
                pass
        answer = connection.json("POST", "/uploads", body=body, repeatable=True)
    if answer["missing"]:
        raise ServerError(f"the server still misses parts of '{path}' after they were sent", mend="Try again.")
    return str(answer["uri"])


def manifest(path: Path, skip: frozenset[str] = frozenset(), pattern: Pattern | None = None) -> list[LocalFile]:
    """The files of an upload, sorted by path; paths begin with the name of the folder (or of the one file)."""
    root = path.resolve()
    if not root.exists():
        raise InputError(f"'{path}' does not exist")
    name = _name(path)
    if root.is_file():
        found = [(name, root)]
    else:
        meant = ((at_, file) for at_, file in _walk(root, skip) if pattern is None or pattern.matches(at_))
        found = [(f"{name}/{at_}", file) for at_, file in meant]
    if not found and pattern:
        raise InputError(f"nothing in '{path}' matches '{'/'.join(pattern.names)}'")
    if not found:
        raise InputError(f"'{path}' has no files")
    return [_hashed(relative, file) for relative, file in sorted(found)]


def download(connection: Connection, path: str, target: Path) -> Path:
    """Fetch one file; it appears at ``target`` when it is whole."""
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with connection.send("GET", path, stream=True) as response, part.open("wb") as out:
            for chunk in response.iter_content(CHUNK_BYTES):
                out.write(chunk)
        return part.replace(target)
    except OSError as error:  # also what requests raises where the connection breaks
        raise ServerError(f"could not download '{target.name}': {error}", where=str(target)) from None
    finally:
        part.unlink(missing_ok=True)


def download_all(connection: Connection, root: str, paths: Iterable[str], folder: Path) -> list[Path]:
    """Fetch files of one output into a folder, under their own relative paths.

    Args:
        connection: the server.
        root: path of the output on the server.
        paths: of the files, relative to the output.
        folder: made where it is missing.
    """
    fetched = []
    for path in paths:
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise ServerError(f"the server names a file outside of its output: '{path}'")
        fetched.append(download(connection, root + at(*parts), folder.joinpath(*parts)))
    return fetched


def _send(connection: Connection, file: LocalFile) -> None:
    connection.send("PUT", at("uploads", "blobs", file.sha256), content=file.open)


def _name(path: Path) -> str:
    return os.path.basename(os.path.abspath(path)) or "root"


def _walk(root: Path, skip: frozenset[str]) -> Iterator[tuple[str, Path]]:
    """Files below ``root`` as (path with slashes, file), links inside of it followed."""

    def below(folder: Path, prefix: str, above: frozenset[Path]) -> Iterator[tuple[str, Path]]:
        for entry in sorted(_entries(folder), key=lambda e: e.name):
            real = Path(entry.path).resolve()
            if not real.is_relative_to(root):
                raise InputError(
                    f"'{entry.path}' is a link that leads out of '{root}', to '{real}'",
                    mend="Put the file itself there: only what is inside the folder is sent to the server.",
                )
            if real.is_dir():
                if entry.name not in skip and real not in above:
                    yield from below(real, f"{prefix}{entry.name}/", above | {real})
            elif real.is_file():
                yield prefix + entry.name, real
            else:
                raise InputError(f"'{entry.path}' is not a file", mend="Remove it, or repair the link.")

    yield from below(root, "", frozenset({root}))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(f"cannot read '{folder}': {error.strerror}") from None


def _hashed(relative: str, file: Path) -> LocalFile:
    digest, size = hashlib.sha256(), 0
    try:
        with file.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise InputError(f"cannot read '{file}': {error.strerror}") from None
    return LocalFile(relative, file, digest.hexdigest(), size)
