"""A place on this machine's disk, or on one that all nodes share."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from batch_endpoints.errors import BatchEndpointError, InputError, StoreUnavailable
from batch_endpoints.interfaces.files import PathPattern, Walk
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
        return os.path.exists(self._at(path))

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
        place = self._at(path)
        if not self._access.opens(place):
            raise InputError(f"the input file '{place}' cannot be read: it is a link {LEADS_OUT}")
        if not os.access(place, os.R_OK):
            raise self._unreadable(Path(place))
        return Path(place)

    def _at(self, path: str) -> str:
        return os.path.join(self.disk, path) if path else str(self.disk)

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

    def uri_of(self, path: str) -> str:
        return (self.disk / path).as_uri()

    def put_folder(self, folder: str, files: Mapping[str, str]) -> None:
        """By hard links, where the disk has them: read-only, since writing to one would change all of them."""
        target = self.disk / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=target.parent))
        try:
            for path, source in files.items():
                place = aside / path
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(self.disk / source, place)
            try:
                aside.rename(target)
            except OSError:
                if not target.is_dir():  # otherwise another one was faster, with the same content
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def has_folder(self, folder: str) -> bool:
        return (self.disk / folder).is_dir()

    def tidy(self, folder: str) -> None:
        with suppress(OSError):  # something is in it, or it is not there
            (self.disk / folder).rmdir()


def _link(source: Path, place: Path) -> None:
    source.chmod(0o400)
    try:
        os.link(source, place)
    except OSError:  # a disk without hard links, or a file that has as many as it may have (65,000 on ext4)
        shutil.copyfile(source, place)
