"""A place on this machine's disk, or on one that all nodes share."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from batch_endpoints.errors import BatchEndpointError, InputError, StoreUnavailable
from batch_endpoints.interfaces import PathPattern, Walk
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.storage.files.access import AMBIENT, LEADS_OUT, Access
from batch_endpoints.storage.files.atomic_files import ASIDE, whole_file
from batch_endpoints.storage.files.disk_walk import files_below
from batch_endpoints.storage.files.read_errors import cannot_read

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}  # what SMB, FUSE and the like answer to a hard link


class Disk:
    """A folder of a disk, or a file.

    Args:
        root: where it is.
        access: the folders that are open, where not all are.
    """

    def __init__(self, root: Path, access: Access = AMBIENT) -> None:
        self.disk, self._access = root, access

    @property
    def name(self) -> str:
        return self.disk.name

    def walk(self, pattern: PathPattern | None = None) -> Walk:
        """Links are followed where they lead to what is open, and each folder is visited once."""
        self._access.check_open(self.disk, f"the input '{self.disk}'")
        try:
            file = None if self.disk.is_dir() else self.disk.stat()
        except NotADirectoryError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.disk)) from error
        if file is None:
            return Walk(str(self.disk), files_below(self.disk, pattern, self._access))
        if pattern is not None:
            raise FileNotFoundError(errno.ENOENT, "it is no folder", str(self.disk))
        return Walk(str(self.disk.parent), iter([InputFile(self.disk.name, file.st_size)]))

    def exists(self, path: str = "") -> bool:
        return (self.disk / path).exists()

    def size(self, path: str = "") -> int:
        return (self.disk / path).stat().st_size

    def read(self, path: str) -> bytes:
        place = self.disk / path
        self._access.check_open(place, f"'{place}'")
        return place.read_bytes()

    def open_input(self, path: str) -> BinaryIO:
        return cast(BinaryIO, pa.memory_map(str(self.disk / path)))

    def open_ranges(self, path: str) -> None:
        """It is here already."""

    def fetch(self, path: str, scratch: Path) -> Path:
        """In place.

        Raises:
            InputError: it cannot be read (any more).
            StoreUnavailable: it may be read later.
        """
        place = os.path.join(self.disk, path) if path else str(self.disk)
        if not self._access.opens(place):
            raise InputError(f"the input file '{place}' cannot be read: it is a link {LEADS_OUT}")
        if not os.access(place, os.R_OK):
            raise self._unreadable(Path(place))
        return Path(place)

    def _unreadable(self, file: Path) -> BatchEndpointError:
        """Why a file cannot be read; where the whole place cannot either, none of its files has failed."""
        try:
            os.stat(self.disk)
        except OSError as error:  # most often a mount that has gone
            return StoreUnavailable(f"the input folder '{self.disk}' cannot be read now: {error.strerror}")
        try:
            os.stat(file)
            why = "permission denied"
        except OSError as error:
            if isinstance(broken := cannot_read(str(file), error), StoreUnavailable):
                return broken
            why = "it is a link that leads nowhere" if file.is_symlink() else "it is gone"
        return InputError(f"the input file '{file}' cannot be read: {why}")

    def replace(self, path: str, data: bytes) -> None:
        with self.open_output(path) as file:
            file.write(data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        target = self.disk / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with whole_file(target, replace=False) as file:
                file.write(data)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise InputError(
                f"the disk of '{self.disk}' has no hard links ({error.strerror}), by which of two who write one file "
                "a single one wins",
                mend="Let BATCH_ENDPOINTS_ROOT (or BATCH_ENDPOINTS_HOME) name another disk or an object store; a job "
                "whose output is on this disk must ask for overwrite.",
            ) from None
        return True

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        target = self.disk / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target, replace=True) as file:
            yield file

    def names(self, folder: str) -> list[str]:
        top = os.path.join(self.disk, folder, "")
        found = [
            os.path.join(at, name)[len(top) :]
            for at, _, names in os.walk(top)
            for name in names
            if not name.startswith(ASIDE)
        ]
        return sorted(found)

    def delete(self, path: str) -> None:
        (self.disk / path).unlink(missing_ok=True)

    def tidy(self, folder: str) -> None:
        with suppress(OSError):  # something is in it, or it is not there
            (self.disk / folder).rmdir()
