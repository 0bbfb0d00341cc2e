"""Mini-batches that are scored and not committed yet: what a commit says of them, and when it is time for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from types import TracebackType

import pyarrow as pa

from batch_endpoints.engine.failures import failed_items, failed_rows
from batch_endpoints.engine.poison_rows import Outcome
from batch_endpoints.engine.unforeseen import Unforeseen
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.specs import ModelDeploymentSettings
from batch_endpoints.storage.job.commits import Commit, CommittedFile, FailedItem, FailedRow

logger = logging.getLogger(__name__)


class Finished:
    """The mini-batches of a bundle from ``start`` to ``end`` (exclusive)."""

    def __init__(self, bundle: Bundle, start: int, settings: ModelDeploymentSettings) -> None:
        self.bundle, self.start, self.end = bundle, start, start
        self.tables: list[pa.Table] = []
        self._settings = settings
        self._failed: list[FailedItem] = []
        self._told: set[str] = set()  # what the commit says already of failures that are alike
        self._rows_failed: list[FailedRow] = []
        self._files: list[CommittedFile] = []
        self._notes: dict[str, None] = {}
        self._unattributed = ""
        self._items, self._tries, self._seconds = 0, 0, 0.0
        self._rows_read: int | None = None
        self._added: list[tuple[Outcome, float, Sequence[CommittedFile], Sequence[str]]] = []
        self._rows_in_failed = 0

    def add(self, outcome: Outcome, seconds: float, files: Sequence[CommittedFile], notes: Sequence[str]) -> None:
        """The next mini-batch.

        Args:
            files: what the script wrote, in the job folder.
            notes: what a user should know of it.
        """
        mini_batch = self.bundle.mini_batch(self.end)
        self._added.append((outcome, seconds, files, notes))
        self._tries += max(outcome.attempts, 1)
        self._seconds += seconds
        if outcome.rows_read is not None:
            self._rows_read = (self._rows_read or 0) + sum(outcome.rows_read.values())
            self._rows_in_failed += sum(rows for item, rows in outcome.rows_read.items() if item in outcome.failed)
        if self._settings.output_action == "append_row":
            self.tables += outcome.in_order(mini_batch.files)
        keep = self._settings.keep_failed_inputs
        self._failed += failed_items(outcome, mini_batch, self._told, keep)
        self._rows_failed += failed_rows(outcome, mini_batch, self._told, keep)
        source = {"mini_batch": self.end, "input_files": tuple(mini_batch.files)}
        self._files += [file if file.of_init else file.model_copy(update=source) for file in files]
        self._notes |= dict.fromkeys(notes)
        self._unattributed = self._unattributed or outcome.unattributed
        self._items += len(self.bundle.items(self.end))
        self.end += 1

    def each(self) -> Iterator[Finished]:
        """Its mini-batches, each to be committed alone."""
        for number, added in enumerate(self._added, self.start):
            alone = Finished(self.bundle, number, self._settings)
            alone.add(*added)
            yield alone

    def commit(self, parts: tuple[str, ...], worker: str) -> Commit:
        """What is to be committed, once the rows are in these parts."""
        return Commit(
            bundle=self.bundle.index,
            start=self.start,
            end=self.end,
            parts=parts,
            rows=sum(table.num_rows for table in self.tables),
            rows_read=self._rows_read,
            rows_in_failed=self._rows_in_failed,
            attempts=self._tries,
            seconds=round(self._seconds, 3),
            items_succeeded=self._items - len(self._failed),
            failed=tuple(self._failed),
            failed_rows=tuple(self._rows_failed),
            files=tuple(self._files),
            notes=tuple(self._notes),
            worker=worker,
            unattributed=self._unattributed,
        )


def left_in_the_middle(bundle: Bundle, at: int, outcome: Outcome, keep_inputs: bool) -> Commit:
    """What is known to have failed of a mini-batch that nobody will finish; it is told, and not committed."""
    mini_batch, told = bundle.mini_batch(at), set[str]()
    items = failed_items(outcome, mini_batch, told, keep_inputs)
    rows = failed_rows(outcome, mini_batch, told, keep_inputs)
    read = len(rows) or None  # and more, which nobody has counted
    return Commit(bundle=bundle.index, start=at, end=at, failed=tuple(items), failed_rows=tuple(rows), rows_read=read)


class InTime:
    """Commits what is finished when its time has come, though the next mini-batch is still being scored.

    It does so in a thread of its own, once at most, and only within ``with``: elsewhere its owner changes what is
    finished.

    Args:
        commit: returns what counts then. Where it fails, its owner will see that, who commits the same later.
    """

    def __init__(self, commit: Callable[[], Commit]) -> None:
        self.done: Commit | None = None
        self._commit = commit
        self._owned = threading.Lock()
        self._owned.acquire()
        self._timer: threading.Timer | None = None
        self._closed = False

    def begin(self, seconds: float) -> None:
        """It is time in so many seconds; of several calls the first one counts."""
        if self._timer is None:
            self._timer = threading.Timer(max(0.0, seconds), copy_context().run, (self._act,))
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        self._closed = True
        if self._timer:
            self._timer.cancel()
        self._owned.release()  # it may have been waiting

    def __enter__(self) -> None:
        self._owned.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._owned.acquire()

    def _act(self) -> None:
        with self._owned:
            if self._closed:
                return
            try:
                self.done = self._commit()
            except (OSError, BatchEndpointError, Unforeseen) as error:
                logger.warning("what is finished cannot be committed yet: %s", error)
