"""Listing an input: its root, and the files below it, on a disk, in a store, or one file over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.fs

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import SkippedFile
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.files.access import AMBIENT, LEADS_OUT, Access
from batch_endpoints.storage.files.addresses import STREAMED, local_path, scheme_of
from batch_endpoints.storage.files.claim_files import is_claim
from batch_endpoints.storage.files.place import in_store, open_uri, store_filesystem
from batch_endpoints.storage.globs import Pattern, split_pattern

Found = InputFile | SkippedFile
"""What a listing tells of: a file to be scored, or something that is none, with the reason."""


def is_streamed(uri: str) -> bool:
    """Is this one file that smart-open reads? There is no listing then, and the root is the file's own URI."""
    return scheme_of(uri) in STREAMED and not in_store(uri)


def walk(uri: str, access: Access = AMBIENT) -> tuple[str, Iterator[Found]]:
    """The root of an input, and what is below it in no order.

    Nothing is left out in silence but claims of jobs (see ``output_claims``): folders stand for what is in them, and
    whatever else is no file is told.

    Args:
        uri: a folder, a file or a pattern; what exists under this very name is no pattern.
        access: credentials for what is remote.

    Raises:
        InputError: missing or unreadable; also from the iterator.
        Refused: it is not open.
    """
    root, found = _walk(uri, access)
    return root, (one for one in found if isinstance(one, SkippedFile) or not is_claim(one.path))


def _walk(uri: str, access: Access) -> tuple[str, Iterator[Found]]:
    if is_streamed(uri):
        name = unquote(urlsplit(uri).path.rpartition("/")[2])
        return uri, iter([InputFile(name if name not in ("", ".", "..") else "input", _size_of_stream(uri, access))])
    if in_store(uri):
        return _walk_objects(uri, access)
    place = local_path(uri)
    return _walk_remote(uri, access) if place is None else _walk_place(uri, place, access)


def _walk_place(uri: str, place: Path, access: Access) -> tuple[str, Iterator[Found]]:
    access.check_open(place, f"the input '{place}'")
    try:
        if _exists(place):
            if place.is_dir():
                return str(place), _walk_local(place, None, access)
            return str(place.parent), iter([InputFile(place.name, place.stat().st_size)])
    except OSError as error:
        raise InputError(f"the input '{shown(uri)}' cannot be read: {error.strerror}") from None
    found = split_pattern(str(place))
    if not found:
        raise InputError(f"the input '{shown(uri)}' does not exist", mend="Check the path; it is read on the server.")
    root = Path(found[0])
    if not root.is_dir():
        raise InputError(f"the input '{shown(uri)}' matches nothing: there is no folder '{root}'")
    return str(root), _walk_local(root, found[1], access)


def _exists(place: Path) -> bool:
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _walk_local(top: Path, pattern: Pattern | None, access: Access) -> Iterator[Found]:
    """What is below a folder. Links are followed where they lead to what is open, and each folder is visited once: by
    its own name rather than through a link."""
    prefix = os.path.join(top, "")
    seen: dict[str, str] = {}  # real path -> by which name it is in the input
    folders, links = [top], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        real, name = os.path.realpath(folder), _relative(str(folder), prefix)
        if real in seen:
            yield _skipped(name, f"a link to a folder that is listed as '{seen[real] or '.'}' already")
            continue
        if not access.opens(real):
            yield _skipped(name, f"a link {LEADS_OUT}")
            continue
        seen[real] = name
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise InputError(f"the input folder '{folder}' cannot be read: {error.strerror}") from None
        for entry in entries:
            path = _relative(entry.path, prefix)
            if _is_folder(entry):
                if pattern is None or pattern.may_hold_matches(path):
                    (links if entry.is_symlink() else folders).append(Path(entry.path))
            elif pattern is None or pattern.matches(path):
                if entry.is_symlink() and not access.opens(entry.path):
                    yield _skipped(path, f"a link {LEADS_OUT}")
                elif _is_file(entry):
                    yield InputFile(_utf8(path), _size(entry))
                else:
                    yield _skipped(path, "neither a file nor a folder: a pipe, a socket or a device")


def _skipped(path: str, reason: str) -> SkippedFile:
    """Its name need not be text: nobody will open it."""
    return SkippedFile(file=path.encode("utf-8", "backslashreplace").decode(), reason=reason)


def _relative(path: str, prefix: str) -> str:
    """Below the top, with forward slashes; "" is the top itself."""
    return path[len(prefix) :].replace(os.sep, "/")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Also a link that leads nowhere: it must become a failed item instead of vanishing."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0


def _utf8(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the name of the input file {os.fsencode(path)!r} is not UTF-8", mend="Give it another name."
        ) from None
    return path


def _walk_objects(uri: str, access: Access) -> tuple[str, Iterator[Found]]:
    """A key is a file, a prefix of keys a folder."""
    pattern = split_pattern(uri)
    try:
        files = store_filesystem(uri, access)
        if files.key and not uri.partition("?")[0].endswith("/"):
            try:
                size = files.stat("").size
            except FileNotFoundError:
                pass
            else:
                root, query = _without_query(uri)
                folder, _, name = root.rpartition("/")
                return folder + query, iter([InputFile(name, size)])
        first = next(found := files.objects(), None)
        if first is None and pattern is None and files.key:
            raise InputError(f"the input '{shown(uri)}' does not exist")
        if first or pattern is None:
            root, query = _without_query(uri)
            return root.rstrip("/") + query, _told(uri, _sorted_out(chain([first] if first else [], found)))
        below = store_filesystem(pattern[0], access).objects()
        matching = (found for found in below if pattern[1].matches(found.path.rstrip("/")))
        return pattern[0], _told(uri, _sorted_out(matching))
    except OSError as error:
        raise InputError(f"the input '{shown(uri)}' cannot be read: {error.strerror}") from None


def _sorted_out(objects: Iterable[InputFile]) -> Iterator[Found]:
    """Keys that end with a slash stand for folders, unless something is in them (see ``ObjectFilesystem``)."""
    for found in objects:
        if not found.path.endswith("/"):
            yield found
        elif found.size:
            yield _skipped(found.path, "its key ends with '/', as that of a folder does")


def _told(uri: str, files: Iterable[Found]) -> Iterator[Found]:
    try:
        yield from files
    except OSError as error:
        raise InputError(f"the input '{shown(uri)}' cannot be read: {error.strerror}") from None


def _walk_remote(uri: str, access: Access) -> tuple[str, Iterator[Found]]:
    pattern = split_pattern(uri)
    root, query = _without_query(uri)
    try:
        try:
            files, path = open_uri(uri, access)
            found = files.get_file_info(path)
        except InputError:
            if pattern is None:
                raise
            found = None  # a pattern need not be a well-formed URI
        if found is not None and found.type == pyarrow.fs.FileType.File:
            folder = root.rstrip("/").rpartition("/")[0]
            return folder + query, iter([InputFile(path.rpartition("/")[2], found.size or 0)])
        if found is not None and found.type == pyarrow.fs.FileType.Directory:
            return root.rstrip("/") + query, _walk_store(files, path, None)
        if pattern is None:
            raise InputError(f"the input '{shown(uri)}' does not exist")
        files, path = open_uri(pattern[0], access)
        return pattern[0], _walk_store(files, path, pattern[1])
    except OSError as error:
        raise InputError(f"the input '{shown(uri)}' cannot be read: {shown_text(error)}") from None


def _walk_store(files: pyarrow.fs.FileSystem, top: str, pattern: Pattern | None) -> Iterator[Found]:
    recursive = pattern is None or not pattern.one_level
    for info in files.get_file_info(pyarrow.fs.FileSelector(top, recursive=recursive, allow_not_found=True)):
        path = info.path[len(top) :].lstrip("/")
        if info.type == pyarrow.fs.FileType.Directory or not (pattern is None or pattern.matches(path)):
            continue
        if info.type == pyarrow.fs.FileType.File:
            yield InputFile(path, info.size or 0)
        else:
            yield _skipped(path, "neither a file nor a folder")


def _without_query(uri: str) -> tuple[str, str]:
    path, mark, query = uri.partition("?")
    return path, mark + query


def _size_of_stream(uri: str, access: Access) -> int:
    from batch_endpoints.storage.files.web import size_of_stream  # its libraries take time to load

    try:
        return size_of_stream(uri, access)
    except (OSError, ImportError, ValueError) as error:
        raise InputError(f"the input '{shown(uri)}' cannot be read: {shown_text(error)}") from None
