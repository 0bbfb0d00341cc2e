"""The items of a mini-batch on this machine: files in place or copied, tables read, the next ones ahead of time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from batch_endpoints.engine.worker.ahead import Ahead
from batch_endpoints.errors import InputError
from batch_endpoints.planning.job_plan import MiniBatch
from batch_endpoints.planning.partitions import Part
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.inputs.fetch import fetch
from batch_endpoints.storage.tables.parts import PartReader, PartRows

_Wanted = tuple[tuple[tuple[str, Part], ...], pa.Schema | None]
_FILES_AT_ONCE = 8  # most of what a small file takes is waiting for its store


class MiniBatchFiles:
    """Files for code that takes paths. Of what is remote, two mini-batches are on the disk at most.

    Args:
        root: what the plan's paths are relative to.
        scratch: a folder of this worker's own.
    """

    def __init__(self, root: str, scratch: Path, access: Access = AMBIENT) -> None:
        self._root, self._scratch, self._access = root, scratch, access
        here = bool(root) and open_place(root, access).disk is not None
        self._ahead = None if here else Ahead(self._fetch, _FILES_AT_ONCE)

    @contextmanager
    def of(
        self, mini_batch: MiniBatch, following: MiniBatch | None
    ) -> Iterator[tuple[dict[str, str], dict[str, InputError]]]:
        """The files of one mini-batch, while they are needed: file -> path, and file -> why it cannot be read.

        Args:
            following: the one that will probably be asked for next.

        Raises:
            WorkerStopped: ``stop`` was called.
        """
        number = mini_batch.number
        if self._ahead:
            soon = [one for one in (mini_batch, following) if one]
            self._ahead.begin([(one.number, file) for one in soon for file in one.files])
            self._remove_but(*(one.number for one in soon))  # what was fetched ahead, and another worker has scored
        paths: dict[str, str] = {}
        unreadable: dict[str, InputError] = {}
        try:
            for file in mini_batch.files:
                try:
                    paths[file] = self._place(number, file)
                except InputError as error:
                    unreadable[file] = error
            yield paths, unreadable
        finally:
            if self._ahead:
                shutil.rmtree(self._scratch / str(number), ignore_errors=True)

    def stop(self) -> None:
        """Let nobody wait for a file; from any thread."""
        if self._ahead:
            self._ahead.stop()

    def _remove_but(self, *numbers: int) -> None:
        names = {str(number) for number in numbers}
        for folder in self._scratch.glob("*"):
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def _place(self, number: int, file: str) -> str:
        return str(self._ahead.get((number, file)) if self._ahead else self._fetch((number, file)))

    def _fetch(self, wanted: tuple[int, str]) -> Path:
        number, file = wanted
        return fetch(self._root, file, self._scratch / str(number), self._access)


class TableReader:
    """Reads the tables of the next mini-batch while this one is scored; so two mini-batches are in memory."""

    def __init__(self, reader: PartReader) -> None:
        def read(wanted: _Wanted) -> list[PartRows | InputError]:
            return list(reader.read_each(*wanted))

        self._ahead = Ahead(read, 1)  # a single thread: a reader is none that threads may share

    def begin(self, mini_batch: MiniBatch, following: MiniBatch | None) -> None:
        """Read this mini-batch, and then the one that will probably be asked for next."""
        self._ahead.begin([(tuple(one.ranges()), None) for one in (mini_batch, following) if one])

    def read_each(
        self, ranges: Sequence[tuple[str, Part]], types: pa.Schema | None = None
    ) -> Sequence[PartRows | InputError]:
        """As ``PartReader.read_each``.

        Raises:
            WorkerStopped: ``stop`` was called.
        """
        return self._ahead.get((tuple(ranges), types))

    def stop(self) -> None:
        """Let nobody wait for a table; from any thread."""
        self._ahead.stop()
