"""Places of files: a disk, an object store or the web."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from batch_endpoints.interfaces.records import Found


class Walk(NamedTuple):
    """The files of a place, in no order; each has its path below ``root``: a URI, or a path of this machine."""

    root: str
    found: Iterator[Found]


class PathPattern(Protocol):
    """Which files are wanted; paths are relative, with forward slashes."""

    def matches(self, path: str) -> bool: ...

    def may_hold_matches(self, folder: str) -> bool:
        """Can there be wanted files below this folder?"""


class RangeReader(Protocol):
    """A file whose bytes are asked for where they are needed; all of them are of one version of it."""

    def read(self, size: int = ..., /) -> bytes: ...

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def ahead(self) -> Iterator[bytes]:
        """The rest, piece by piece: the next ones are on their way while one is looked at."""

    def will_need(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Ask for these now, several at once: each has a start and an end. Those of an earlier call are let go of."""


class Place(Protocol):
    """What a URI names, wherever it is: a folder with the files below it, or one file.

    Paths are relative to it, with forward slashes; "" is the file that the URI itself names. What goes wrong is an
    OSError: FileNotFoundError where nothing is there, TimeoutError where it may be there later.
    """

    @property
    def name(self) -> str:
        """The last part of its address."""

    @property
    def disk(self) -> Path | None:
        """Where it is on this machine's disk; None where files have to be fetched."""

    def walk(self, pattern: PathPattern | None = None) -> Walk:
        """All files below a folder, or the one file that it is, with its folder as the root.

        Raises:
            FileNotFoundError: nothing is there.
            Refused: it is not open.
        """

    def exists(self, path: str = "") -> bool: ...

    def size(self, path: str = "") -> int:
        """In bytes."""

    def read(self, path: str) -> bytes: ...

    def open_input(self, path: str) -> BinaryIO:
        """A file that will be read from its begin to its end."""

    def open_ranges(self, path: str) -> RangeReader | None:
        """A file that will be read here and there; None where it has to be fetched for that."""

    def fetch(self, path: str, scratch: Path) -> Path:
        """A file on this machine's disk: in place where it is there, otherwise a copy below ``scratch``."""


class WritablePlace(Place, Protocol):
    """A folder that files are written to: of a job, an output, or uploads."""

    def replace(self, path: str, data: bytes) -> None:
        """Write a whole file; readers see the old or the new content, never a part."""

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write a file that is not there. Of all who try, one gets True, and its content stays."""

    def open_output(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A new file that appears, whole, when the context ends well."""

    def names(self, folder: str) -> list[str]:
        """All files below a folder, relative to it, sorted; none where there is no folder."""

    def delete(self, path: str) -> None:
        """Remove a file; harmless where there is none."""

    def uri_of(self, path: str) -> str:
        """What every node can open it by."""

    def put_folder(self, folder: str, files: Mapping[str, str]) -> None:
        """Make a folder of files that are here under other names; it is there when all of it is.

        Args:
            files: path below the folder -> the file; neither will ever be changed.
        """

    def has_folder(self, folder: str) -> bool:
        """Was it put, all of it?"""

    def tidy(self, folder: str) -> None:
        """Remove a folder that has become empty, where folders are more than parts of names."""
