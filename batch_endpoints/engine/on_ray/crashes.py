"""Mini-batches that take the whole worker along: not the user's code, which has a process of its own, but what
reads its input or writes its rows, or the memory that this takes.

Ray starts a worker that has ended anew, with the blocks that it had. That worker cannot ask what became of the one
before, so each life of a worker that tries a suspected mini-batch leaves a mark in the job folder first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from batch_endpoints.engine.worker.finished import failed_items, failed_rows
from batch_endpoints.engine.worker.outcome import Failure, Outcome
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.storage.job.commits import Commit, CommitLog

MOST_CRASHES = 5  # at one mini-batch: then it is the mini-batch
logger = logging.getLogger(__name__)


class Crashes:
    """How often the process of a worker has ended at which mini-batch, on nodes that live on.

    A lost node counts nowhere: its mini-batches are begun again however often that happens.

    Args:
        files: the job folder.
        run: of the driver; what ended with an earlier driver does not count.
        life: of this worker, unlike that of any other and of its own lives before.
        node: the id of its node.
        alive_nodes: asked for the ids of the nodes that are up.
    """

    def __init__(
        self, files: WritablePlace, run: str, life: str, node: str, alive_nodes: Callable[[], Collection[str]]
    ) -> None:
        self._files, self._folder, self._life, self._node = files, f"crashes/{run}", life, node
        self._alive_nodes = alive_nodes

    @contextmanager
    def marking(self, bundle: Bundle) -> Iterator[Callable[[int], None]]:
        """What marks the mini-batch that is tried next; the mark counts unless the block ends, well or badly."""
        marked: list[str] = []

        def mark(mini_batch: int) -> None:
            marked.append(f"{self._place(bundle, mini_batch)}/{self._life}")
            self._files.replace(marked[-1], self._node.encode())

        try:
            yield mark
        finally:
            for name in marked[-1:]:  # those before are committed
                with suppress(OSError):  # then it counts, and the worker is unfit anyway
                    self._files.replace(name, b"")

    def fail_what_crashes(self, bundle: Bundle) -> None:
        """Commit the next mini-batch of a bundle as failed where too many workers have ended at it."""
        commits = CommitLog(self._files, bundle.retry)
        chain = commits.chain(bundle)
        at = chain[-1].end if chain else bundle.start
        if at == bundle.end or (crashes := self._count(self._place(bundle, at))) < MOST_CRASHES:
            return
        mini_batch = bundle.mini_batch(at)
        why = "what reads its input or writes its rows ends the process, or the memory that this takes"
        error = UserError("", f"{crashes} workers ended at it, one behind the other, outside of run(): {why}")
        again = {file: part.only for file, part in mini_batch.ranges() if part.only}
        outcome, told = Outcome(again=again), set[str]()
        for file in mini_batch.files:
            outcome.fail(file, Failure(error, crashes))
        logger.warning("mini-batch %s fails: %s workers ended at it", at, crashes)
        commits.add(
            Commit(
                bundle=bundle.index,
                start=at,
                end=at + 1,
                attempts=crashes,
                failed=tuple(failed_items(outcome, mini_batch, told, keep_inputs=False)),
                failed_rows=tuple(failed_rows(outcome, mini_batch, told, keep_inputs=False)),
            )
        )

    def _count(self, place: str) -> int:
        names = self._files.names(place)
        if len(names) < MOST_CRASHES:
            return len(names)
        alive = self._alive_nodes()
        return sum(self._files.read(f"{place}/{name}").decode() in alive for name in names)

    def _place(self, bundle: Bundle, mini_batch: int) -> str:
        return f"{self._folder}/{bundle.retry}-{mini_batch:09}"
