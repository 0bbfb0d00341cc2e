"""How often a mini-batch is tried, and how long to wait in between."""

from __future__ import annotations

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
MOST_MEMORY_KILLS = 5  # of one mini-batch: then it is what takes the memory
FIRST_MEMORY_PAUSE_SECONDS = 1.0


def may_retry(attempt: int, max_retries: int) -> bool:
    """May there be another try?

    Args:
        attempt: the try that has just failed; the first is 1.
        max_retries: tries allowed after the first one.
    """
    return attempt <= max_retries


def pause_seconds(attempt: int, jitter: float) -> float:
    """How long to wait behind a failed try: doubled each time, and spread.

    Args:
        attempt: the try that has just failed; the first is 1.
        jitter: uniform in [0, 1); spreads workers that failed together.
    """
    return _growing(FIRST_PAUSE_SECONDS, attempt, jitter)


def memory_pause_seconds(kills: int, jitter: float) -> float:
    """How long to wait until others may have given memory back: as ``pause_seconds``, and longer.

    Args:
        kills: how often a mini-batch was stopped because its node ran short of memory; at least 1.
    """
    return _growing(FIRST_MEMORY_PAUSE_SECONDS, kills, jitter)


def _growing(first: float, times: int, jitter: float) -> float:
    doublings = min(times - 1, 30)  # long past the longest pause, and short of what a float can hold
    return float(min(LONGEST_PAUSE_SECONDS, first * 2**doublings) * (0.5 + jitter / 2))
