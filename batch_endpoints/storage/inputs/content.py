"""What names the content of data: etags where its store has them, otherwise a digest of its bytes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from batch_endpoints.planning.mini_batches import InputFile, by_path
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.atomic_files import whole_file
from batch_endpoints.storage.files.place import open_place

_PIECE = 4 << 20
_SETTLED_SECONDS = 3.0  # more than the coarsest clock of a file system


def content_digest(uri: str, access: Access, cache: Path) -> str:
    """A digest of what is at a URI: equal where all relative paths and contents are; "" where its store cannot tell.

    Args:
        cache: folder where the digests of what is on this machine's disk are kept: by device, inode, size and ctime.

    Raises:
        FileNotFoundError: nothing is there.
    """
    place = open_place(uri, access)
    root, found = place.walk()
    files = by_path([one for one in found if isinstance(one, InputFile)])
    names = [file.path for file in files]  # also of a single one: its ending may decide how it is read
    if place.disk is None:
        if not all(file.etag for file in files):
            return ""
        return _digest(f"{name}\0{file.size} {file.etag}" for name, file in zip(names, files, strict=True))
    paths = [Path(root, file.path) for file in files]
    version = _digest(f"{name}\0{_stat(path)}" for name, path in zip(names, paths, strict=True))
    known = cache / "content" / version
    try:
        return known.read_text()
    except FileNotFoundError:
        pass
    digest = _digest(f"{name}\0{_hash(path)}" for name, path in zip(names, paths, strict=True))
    if any(path.stat().st_ctime > time.time() - _SETTLED_SECONDS for path in paths):
        return digest  # it may still change without another ctime
    known.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(known, replace=True) as file:
        file.write(digest.encode())
    return digest


def listing_digest(uri: str) -> str:
    """A digest of what lies at a URI by the words of its store, without reading it: names, sizes, etags or times.

    Raises:
        OSError: nothing is there, or it cannot be listed.
    """
    place = open_place(uri)
    root, found = place.walk()
    files = by_path([one for one in found if isinstance(one, InputFile)])
    if place.disk is None:
        return _digest(f"{file.path}\0{file.size} {file.etag}" for file in files)
    times = (Path(root, file.path).stat().st_mtime_ns for file in files)
    return _digest(f"{file.path}\0{file.size} {time}" for file, time in zip(files, times, strict=True))


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(os.fsencode(line) + b"\n\0")
    return digest.hexdigest()


def _stat(path: Path) -> str:
    found = path.stat()
    return f"{path} {found.st_dev} {found.st_ino} {found.st_size} {found.st_ctime_ns}"


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
