"""How often a mini-batch is tried, and how long to wait in between."""

from __future__ import annotations

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0


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
    doublings = min(attempt - 1, 30)  # long past the longest pause, and short of what a float can hold
    return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**doublings) * (0.5 + jitter / 2))
