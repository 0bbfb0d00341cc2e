"""How long a store is asked again that is busy, breaks off, or does not answer.

A job is patient: what it has scored is worth more than a quarter of an hour, and what a store could not give in a bad
minute must not count as failed. Whoever serves a person, or many jobs, is not. So it depends on who asks, and holds
for all that is asked in a context (see ``contextvars``; a thread begins in one of its own).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import NamedTuple, TypeVar

from batch_endpoints.errors import StoreUnavailable
from batch_endpoints.policies.retry import pause_seconds

T = TypeVar("T")
S = TypeVar("S")
PATIENT_SECONDS = 900.0  # of a job
HURRIED_SECONDS = 5.0  # where somebody waits for the answer, or there is another chance soon
_SECONDS = 60.0  # of anybody else
_AT_ONCE = 8


class _Patience(NamedTuple):
    seconds: float
    ended: threading.Event


_here: ContextVar[_Patience] = ContextVar("patience", default=_Patience(_SECONDS, threading.Event()))  # noqa: B039


@contextmanager
def patience(seconds: float, ended: threading.Event | None = None) -> Iterator[None]:
    """Within this block stores are asked again for so long.

    Args:
        seconds: counted from the first try of each request.
        ended: once it is set nobody waits any more: a request that fails is given up.
    """
    before = _here.set(_Patience(seconds, ended or threading.Event()))
    try:
        yield
    finally:
        _here.reset(before)


class Tries:
    """The tries of one request."""

    def __init__(self) -> None:
        self._patience, self._began = _here.get(), time.monotonic()
        self.made = 1  # or being made

    def another(self) -> bool:
        """May there be another one behind the one that has just failed? Waits a moment before it says yes."""
        pause = pause_seconds(self.made, random.random())
        if time.monotonic() + pause > self._began + self._patience.seconds or self._patience.ended.wait(pause):
            return False
        self.made += 1
        return True


def patiently(ask: Callable[[], T]) -> T:
    """Ask for something whole again where a store breaks off in its middle: Arrow's own readers give up then."""
    tries = Tries()
    while True:
        try:
            return ask()
        except StoreUnavailable:
            if not tries.another():
                raise


def at_once(work: Callable[[T], S], items: Iterable[T]) -> list[S]:
    """Do something that mostly waits for a store with several items at a time, as patiently as the caller."""
    given = list(items)
    contexts = [copy_context() for _ in given]  # threads begin in one of their own
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda context, item: context.run(work, item), contexts, given))
