"""What names the content of data: etags where its store has them, otherwise a digest of its bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from batch_endpoints.planning.mini_batches import InputFile, by_path
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.atomic_files import whole_file
from batch_endpoints.storage.files.place import open_place

_PIECE = 4 << 20


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
    # what a single file is called is part of it only within a folder
    names = [""] if len(files) == 1 and files[0].path == place.name else [file.path for file in files]
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
    known.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(known, replace=True) as file:
        file.write(digest.encode())
    return digest


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
