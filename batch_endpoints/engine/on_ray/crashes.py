"""Mini-batches that take the whole worker along: not the user's code, which has a process of its own, but what
reads its input or writes its rows, or the memory that this takes."""

from __future__ import annotations

from batch_endpoints.engine.worker.finished import failed_items, failed_rows
from batch_endpoints.engine.worker.outcome import Failure, Outcome
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.storage.job.commits import Commit, CommitLog

MOST_CRASHES = 5  # at one mini-batch: then it is the mini-batch


class Crashes:
    """How often the process of a worker has ended at which mini-batch, on nodes that live on.

    A lost node counts nowhere: its mini-batches are begun again however often that happens.
    """

    def __init__(self, files: WritablePlace) -> None:
        self._files = files
        self._at: dict[int, tuple[int, int]] = {}  # bundle -> the mini-batch it was at, and how often
        self.suspected: set[int] = set()  # bundles that workers crashed at, and that are not done

    def known(self, bundle: Bundle) -> bool:
        """Has a worker crashed at it? Then each of its mini-batches is to be committed alone, to tell which it is."""
        return bundle.index in self._at

    def clear(self, bundle: Bundle) -> None:
        """It is done."""
        self.suspected.discard(bundle.index)

    def count(self, bundle: Bundle, why: str) -> None:
        """One more; a mini-batch with too many is committed as failed, and the rest of its bundle goes on."""
        commits = CommitLog(self._files, bundle.retry)
        chain = commits.chain(bundle)
        at = chain[-1].end if chain else bundle.start
        if at == bundle.end:  # it was not this one
            return
        self.suspected.add(bundle.index)
        known, before = self._at.get(bundle.index, (at, 0))
        crashes = before + 1 if known == at else 1
        self._at[bundle.index] = at, crashes
        if crashes < MOST_CRASHES:
            return
        mini_batch = bundle.mini_batch(at)
        error = UserError("", f"{crashes} workers ended at it, one behind the other, outside of run(): {why}")
        again = {file: part.only for file, part in mini_batch.ranges() if part.only}
        outcome, told = Outcome(again=again), set[str]()
        for file in mini_batch.files:
            outcome.fail(file, Failure(error, crashes))
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
