"""Which files an input has, in the order of their paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from batch_endpoints.errors import InputError
from batch_endpoints.planning.lazy_sequence import LazySequence
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import SkippedFile
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import plain
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, patience
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.inputs.globs import split_pattern
from batch_endpoints.storage.inputs.walk import walk

_AT_ONCE = 1 << 12  # as objects, for a moment


class FileList(LazySequence[InputFile]):
    """Takes what a listing finds, in any order, and keeps it in Arrow: a path and sixteen bytes for each file, where
    Python's objects take three times as much.

    Args:
        found: read once, as it comes.
    """

    def __init__(self, found: Iterable[InputFile]) -> None:
        self._paths, self._sizes = _columns(found)
        if not _in_order(self._paths):  # stores list in this order, which is that of Python's strings
            order = pa.compute.sort_indices(self._paths)
            self._paths, self._sizes = self._paths.take(order), self._sizes.take(order)

    def __len__(self) -> int:
        return len(self._paths)

    def make(self, numbers: range) -> Iterator[InputFile]:
        start, count = numbers.start, len(numbers)
        paths, sizes = self._paths.slice(start, count), self._sizes.slice(start, count)
        return map(InputFile, paths.to_pylist(), sizes.to_pylist())


def _columns(found: Iterable[InputFile]) -> tuple[Any, Any]:
    files, paths, sizes = iter(found), list[pa.Array](), list[pa.Array]()
    while some := list(islice(files, _AT_ONCE)):
        paths.append(pa.array([file.path for file in some], pa.large_string()))
        sizes.append(pa.array([file.size for file in some], pa.int64()))
    return (
        pa.chunked_array(paths, pa.large_string()).combine_chunks(),
        pa.chunked_array(sizes, pa.int64()).combine_chunks(),
    )


def _in_order(texts: Any) -> bool:
    return bool(pa.compute.all(pa.compute.less_equal(texts.slice(0, max(len(texts) - 1, 0)), texts.slice(1))).as_py())


class InputListing(NamedTuple):
    """What an input has: its files sorted by path, and what is left out of them. ``fetch`` takes root and path."""

    root: str
    files: Sequence[InputFile]
    skipped: list[SkippedFile]


def list_files(uri: str, access: Access = AMBIENT) -> InputListing:
    """All files of an input; folders are walked to the bottom.

    Args:
        uri: a bare path, or a URI that ``addresses`` knows; a folder, a file, or a pattern of files.
        access: credentials for what is remote.

    Raises:
        InputError: missing, empty or unreadable.
        Refused: it is not open.
    """
    root, found = walk(uri, access)
    skipped: list[SkippedFile] = []

    def files() -> Iterator[InputFile]:
        for one in found:
            if isinstance(one, InputFile):
                yield one
            else:
                skipped.append(one)

    listed = FileList(files())
    if not listed:
        raise _nothing(uri, skipped)
    return InputListing(root, listed, sorted(skipped, key=attrgetter("file")))


def check_readable(uri: str, type: str, access: Access = AMBIENT) -> None:
    """Is there at least one file to read? Looks no further than the first, and waits for no store for long.

    Raises:
        InputError: missing, empty or unreadable.
        Refused: it is not open.
    """
    skipped: list[SkippedFile] = []
    with patience(HURRIED_SECONDS):
        root, found = walk(uri, access)
        for first in found:
            if isinstance(first, InputFile):
                break
            skipped.append(first)
        else:
            raise _nothing(uri, skipped)
    place = open_place(root, access)
    if place.disk:
        place.fetch(first.path, place.disk)


def _nothing(uri: str, skipped: Sequence[SkippedFile]) -> InputError:
    if split_pattern(plain(uri)):
        return InputError(
            f"the input '{shown(plain(uri))}' matches no file",
            mend="Check the pattern: ** crosses folders, * does not.",
        )
    mend = "Name a folder that has some."
    if skipped:
        mend = f"All that is in it is left out; the first, '{skipped[0].file}': {skipped[0].reason}."
    return InputError(f"the input '{shown(uri)}' is a folder without files", mend=mend)
