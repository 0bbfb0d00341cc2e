"""The statuses of a job (Azure ML's), and the moves between them that are legal.

NotStarted -> Starting -> Preparing -> Provisioning -> Queued -> Running -> Finalizing -> Completed
    │            └──────────┴──────────────┴─────────────┴──────────┴──────────┴────────> Failed
    │                       (any of these may be left out; a lost driver: back to Starting)
    └─> Canceled <── CancelRequested <── any of them

Starting: a driver is launched. Preparing: it makes the interpreter and lists the input. Provisioning: the nodes for
its workers are still to come. Queued: the nodes are there, and no worker is up yet. Running: one is. Paused and
NotResponding are of services that we do not have.

A job that has ended stays as it is until somebody asks for more. Then it is NotStarted again: ``resume`` takes one
that is Failed or Canceled, ``retry-failed`` any one in which items or rows failed, and nothing else takes one that is
Completed.
"""

from __future__ import annotations

from batch_endpoints.errors import Conflict
from batch_endpoints.specs import TERMINAL, JobStatus

_ORDER: tuple[JobStatus, ...] = (
    "NotStarted",
    "Starting",
    "Preparing",
    "Provisioning",
    "Queued",
    "Running",
    "Finalizing",
    "Completed",
)


def may_move(now: JobStatus, then: JobStatus) -> bool:
    """May a job's status change like this? Staying is always allowed."""
    if now == then:
        return True
    if now in TERMINAL:
        return False
    if now == "CancelRequested":  # it may still end as it was about to
        return then in TERMINAL
    if then in ("CancelRequested", "Canceled", "Failed"):
        return True
    if then == "Starting":  # the first launch, or another one when a driver was lost
        return True
    return now in _ORDER and then in _ORDER and now != "NotStarted" and _ORDER.index(then) > _ORDER.index(now)


def may_begin_again(now: JobStatus, then: JobStatus) -> bool:
    """May a job's status change like this because somebody asks for more of it?"""
    return now in TERMINAL and then == "NotStarted"


def check_resume(name: str, status: JobStatus) -> None:
    """Raises Conflict where there is nothing to go on with."""
    if status == "Completed":
        raise Conflict(
            f"job '{name}' is Completed, so there is nothing left to go on with",
            mend=f"Items and rows that failed are tried again with `batch-endpoints job retry-failed -n {name}`.",
        )
    if status not in TERMINAL:
        raise Conflict(f"job '{name}' is {status}: it goes on by itself", mend="Only what has ended is resumed.")


def check_retry_failed(name: str, status: JobStatus, failures: int) -> None:
    """Raises Conflict where there is nothing to try again, or not yet.

    Args:
        failures: failed items, and failed rows of others.
    """
    if status not in TERMINAL:
        raise Conflict(
            f"job '{name}' is {status}, and only what has ended is tried again",
            mend="Wait for its end, or cancel it.",
        )
    if not failures:
        go_on = f"What it has not scored yet is scored with `batch-endpoints job resume -n {name}`."
        raise Conflict(f"job '{name}' has no failed items or rows", mend="" if status == "Completed" else go_on)


def check_cancel(name: str, status: JobStatus) -> None:
    """Raises Conflict where a job cannot be canceled any more."""
    if status in TERMINAL:
        raise Conflict(f"job '{name}' has ended ({status}), so it cannot be canceled")
