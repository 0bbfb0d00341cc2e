"""Errors that are ours to mend: one costs the mini-batch that it happened at, and is in the worker's log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch_endpoints.engine.worker.outcome import Failure, Outcome
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.planning.job_plan import MiniBatch
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.scoring.worker import WorkerStopped
from batch_endpoints.scoring.worker_log import WorkerLog

logger = logging.getLogger(__name__)


class Unforeseen(Exception):
    """An exception that no part of this package raises on purpose; it is the ``__cause__``."""

    def failure(self) -> Failure:
        """As the reason why something has no result."""
        error = self.__cause__ or self
        stack = "".join(traceback.format_exception(error))
        message = f"an error of the worker, not of the script: {error}"
        return Failure(UserError(type(error).__name__, message, stack=stack, may_pass=False, of_rows=False))


@contextmanager
def unforeseen(*expected: type[Exception]) -> Iterator[None]:
    """Raises Unforeseen instead of what nobody expects.

    Args:
        expected: passes besides our own errors and what a disk or store raises, which others deal with.
    """
    passing: tuple[type[Exception], ...] = (BatchEndpointError, OSError, WorkerStopped, *expected)
    try:
        yield
    except passing:
        raise
    except Exception as error:
        raise Unforeseen(str(error)) from error


def failed_whole(mini_batch: MiniBatch, error: Unforeseen, log: Path) -> Outcome:
    """The outcome of a mini-batch that such an error ended; its stack goes to the log."""
    logger.error("mini-batch %d has failed by an error of ours", mini_batch.number, exc_info=error.__cause__)
    again = {item: part.only for item, part in mini_batch.ranges() if part.only}
    outcome, failure = Outcome(again=again, attempts=1), error.failure()
    for file in mini_batch.files:
        outcome.fail(file, failure)
    WorkerLog(log).failed(1, dict.fromkeys(mini_batch.files, failure.error))
    return outcome
