"""The steps of a command that starts a server: shown one by one, and ended in order by Ctrl-C or a termination."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class Steps:
    """Says each step, and makes sure that Ctrl-C or a termination is heard.

    The exception that a signal raises is lost when it strikes inside of a destructor, as Ray and Serve have many;
    therefore each step looks whether there was one. A second signal does not disturb the cleaning up.

    Args:
        say: shows a step.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.interrupted = False
        self._say = say
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Steps:
        self._before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def say(self, step: str) -> None:
        self.check()
        self._say(step)

    def check(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt
