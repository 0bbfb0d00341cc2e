"""What a failed job says first: what went wrong in the user's code, and how often."""

from __future__ import annotations

from collections.abc import Sequence

from batch_endpoints.specs import JobError
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.job.commits import Commit, FailedItem, FailedRow, Totals


def job_error(committed: Sequence[Commit], what: str) -> JobError:
    """The first exception of the user's code as the headline, or else the first failure, with how often it was seen.

    It is the same one in another mini-batch where its class and line are the same: messages often name a file. Items
    come before rows, which weigh less.

    Args:
        committed: with what is known of a mini-batch that was left in the middle.
        what: why that ends the job.
    """
    failed: list[FailedItem | FailedRow] = [
        *(item for commit in committed for item in commit.failed),
        *(row for commit in committed for row in commit.failed_rows),
    ]
    first = next((item for item in failed if item.error), failed[0])
    seen = len({item.mini_batch for item in failed if _kind(item) == _kind(first)})
    batches = sum(max(commit.end - commit.start, 1) for commit in committed)
    told = (
        f"{what}.\nThe first that failed is {named(first)}; failed_items.jsonl in the job folder has all, and "
        "`batch-endpoints job retry-failed` tries them again."
    )
    return JobError(
        code="ScoringFailed",
        message=f"{first.reason} (seen in {seen} of {batches} mini-batches)",
        details=f"{told}\n{first.stack}".rstrip(),
    )


def counted(done: Totals) -> str:
    """How many items failed, and how many rows."""
    counts = ((done.items_failed, "item"), (done.rows_failed, "row"))
    return " and ".join(f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts if count)


def named(failure: FailedItem | FailedRow) -> str:
    """What has failed, as a sentence names it."""
    return f"'{shown(failure.file)}'" + (f" row {failure.row}" if isinstance(failure, FailedRow) else "")


def _kind(failure: FailedItem | FailedRow) -> str:
    """A reason without what an exception says besides its line and class."""
    reason, error = failure.reason, failure.error
    return reason.partition(error)[0] + error if error else reason
