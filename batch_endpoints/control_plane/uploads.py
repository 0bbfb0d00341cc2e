"""Uploads: folders and files that clients send, kept by content.

``blobs/<sha256>``          every file's bytes, once
``trees/<sha256>/<path>``   a folder as its client saw it, of links to blobs or copies; named by its manifest

Both appear whole or not at all, so any number of clients may send the same thing at the same time, and a folder
that is here is never sent again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from batch_endpoints.errors import NotFound, SpecError
from batch_endpoints.specs import Spec
from batch_endpoints.specs.limits import DEEPEST, LONGEST_PATH, shortened
from batch_endpoints.storage.files.access import is_below
from batch_endpoints.storage.files.addresses import plain
from batch_endpoints.storage.files.patience import at_once
from batch_endpoints.storage.files.place import open_place, writable_place

SCHEME = "upload://"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_URI = re.compile(r"upload://([0-9a-f]{64})/(.+)", re.DOTALL)


def _sha256(value: str) -> str:
    if not _SHA256.fullmatch(value):
        raise ValueError("expected a SHA-256 as 64 lower-case hexadecimal digits")
    return value


def _below(path: str) -> str:
    """A path that stays below where it is put, on any operating system."""
    if len(path.encode(errors="replace")) > LONGEST_PATH:
        raise ValueError(f"expected a path of at most {LONGEST_PATH} bytes")
    parts = path.split("/")
    if len(parts) > DEEPEST:
        raise ValueError(f"expected at most {DEEPEST} names, one in the other")
    if not path or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError("expected a relative path with '/' between names, without '.', '..', '\\' and NUL")
    if any(len(part.encode(errors="replace")) > 255 for part in parts):
        raise ValueError("expected names of at most 255 bytes")
    return path


def _one_name(name: str) -> str:
    if "/" in _below(name):
        raise ValueError("expected one name, without a folder")
    return name


class UploadedFile(Spec):
    """One file of an upload: where it stands, and its content."""

    path: Annotated[str, AfterValidator(_below)]
    sha256: Annotated[str, AfterValidator(_sha256)]
    size: int = Field(ge=0, lt=2**63, description="bytes")


class Upload(Spec):
    """A folder, or one file: the paths of a folder begin with its name, a single file's path is its name."""

    name: Annotated[str, AfterValidator(_one_name)]
    files: tuple[UploadedFile, ...] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical manifest, the same whatever the order of the files."""
        rows = sorted((file.path, file.sha256, file.size) for file in self.files)
        return hashlib.sha256(json.dumps([self.name, rows], separators=(",", ":")).encode()).hexdigest()

    @property
    def uri(self) -> str:
        return f"{SCHEME}{self.digest}/{self.name}"


class Uploads:
    """What clients have sent to this server."""

    def __init__(self, root: str | Path) -> None:
        """
        Args:
            root: URI or path of a folder that all nodes can read.
        """
        self.root = str(root)
        self._place = writable_place(self.root)

    def add(self, upload: Upload) -> list[str]:
        """Build the folder if all of its content is here.

        Returns: SHA-256 of each file that is missing, in order; empty once ``upload.uri`` can be used.

        Raises:
            SpecError: paths that are no tree, or a file whose size is not what the manifest says.
        """
        _check_tree(upload)
        tree = f"trees/{upload.digest}"
        if self._place.has_folder(tree):
            return []
        wanted = list(dict.fromkeys(file.sha256 for file in upload.files))
        sizes = dict(zip(wanted, at_once(self._size, wanted), strict=True))
        missing = [sha256 for sha256, size in sizes.items() if size is None]
        if missing:
            return missing
        for file in upload.files:
            if sizes[file.sha256] != file.size:
                raise SpecError(f"'{file.path}' has {sizes[file.sha256]} bytes, not {file.size}")
        self._place.put_folder(tree, {file.path: f"blobs/{file.sha256}" for file in upload.files})
        return []

    def _size(self, sha256: str) -> int | None:
        """Of a blob, in bytes; None where it is not here."""
        try:
            return self._place.size(f"blobs/{sha256}")
        except FileNotFoundError:
            return None

    @contextmanager
    def receive(self, sha256: str) -> Iterator[Callable[[bytes], object]]:
        """Take in one blob: call what this yields with each piece; the blob counts when the block ends well.

        Raises:
            SpecError: the content is not what its name says; nothing is kept.
        """
        if not _SHA256.fullmatch(sha256):
            raise SpecError(f"'{sha256}' is not a SHA-256", mend="Write 64 lower-case hexadecimal digits.")
        found = hashlib.sha256()
        with self._place.open_output(f"blobs/{sha256}") as file:

            def write(piece: bytes) -> None:
                found.update(piece)
                file.write(piece)

            yield write
            if found.hexdigest() != sha256:
                raise SpecError(
                    f"the content of blob {sha256} was damaged on its way: its SHA-256 is {found.hexdigest()}",
                    mend="Send it again.",
                )

    def resolve(self, uri: str) -> str:
        """The URI of the uploaded folder or file, or of something in it, that every node can open.

        Raises:
            SpecError: not an upload's URI.
            NotFound: it was never sent, or not completely.
        """
        found = _URI.fullmatch(uri)
        try:
            path = f"trees/{found[1]}/{_below(found[2])}" if found else None
        except ValueError:
            path = None
        if found is None or path is None:
            raise SpecError(f"'{shortened(uri)}' is not an upload", mend="Write upload://<64 hex digits>/<name>.")
        place = self._place.uri_of(path)
        try:
            if self._place.has_folder(f"trees/{found[1]}"):
                open_place(place).walk()
                return place
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and error.errno != errno.ENAMETOOLONG:
                raise
        raise NotFound(f"'{uri}' has not been uploaded to this server", mend="Upload it with POST /uploads.")

    def reference(self, uri: str) -> str:
        """The upload's own URI of what ``resolve`` has made a URI of; any other URI as it is."""
        if not self.has(uri):
            return uri
        trees, here = plain(self._place.uri_of("trees")), plain(uri)
        return f"{SCHEME}{here.removeprefix(trees).lstrip('/')}"

    def has(self, uri: str) -> bool:
        """Is this, a URI or a path, in a folder that was uploaded?"""
        trees, here = plain(self._place.uri_of("trees")), plain(uri)
        return is_below(here, trees) and not is_below(trees, here)


def _check_tree(upload: Upload) -> None:
    paths, folders = {file.path for file in upload.files}, set[str]()
    if len(paths) < len(upload.files):
        raise SpecError("an upload names one path twice")
    for path in sorted(paths):
        if path != upload.name and not path.startswith(upload.name + "/"):
            raise SpecError(f"'{path}' does not begin with the upload's name, '{upload.name}'")
        while (path := path.rpartition("/")[0]) and path not in folders:
            folders.add(path)
    if both := sorted(paths & folders):
        raise SpecError(f"'{both[0]}' is a file and a folder in one upload")
