"""The steps of a command that starts a server: shown one by one, and ended in order by Ctrl-C or a termination."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Steps:
    """Shows each step, and ends what was started, in reverse order, unless it is kept.

    Ctrl-C and a termination raise KeyboardInterrupt within ``waiting()`` only. Elsewhere the next step raises it:
    a signal never strikes between the start of a process and the note of how to end it, nor while things are ended.
    The exception that a signal raises is lost when it strikes inside of a destructor, as Ray and Serve have many;
    therefore each step, and the end of each wait, looks whether there was one.

    Args:
        say: shows a step.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.interrupted = False
        self.undo = contextlib.ExitStack()
        self._say = say
        self._waits = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Steps:
        self._before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.undo.close()
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def say(self, step: str) -> None:
        self.check()
        self._say(step)

    def check(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal interrupt what is done within; it starts nothing that is to be ended."""
        self._waits = True
        try:
            self.check()  # one that came just before
            yield
            self.check()
        finally:
            self._waits = False

    def keep(self) -> None:
        """Leave up what was started. A signal that comes later has no effect on it."""
        self.check()
        self.undo.pop_all()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        first, self.interrupted = not self.interrupted, True
        if first and self._waits:
            raise KeyboardInterrupt
