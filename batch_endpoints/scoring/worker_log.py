"""A worker's own lines in the log that the user's code prints into: when a mini-batch begins, and each failed try.

The code writes to the file directly, so that its last words survive whatever becomes of it. These lines between its
prints say of what time they are, so that the logs of all workers can be read as one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from batch_endpoints.processes.own_lines import append_line
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.specs.uris import shown

_SECONDS_BETWEEN_LINES = 1.0
_MOST_ALIKE = 1000  # failures at one place of the code that are told: of rows there may be millions
_MOST_STACKS = 1000  # that are remembered: a message with a row's values makes every stack another one


class WorkerLog:
    """Appends to one log file, also while a host process does."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._size, self._when = -1, 0.0  # of the file behind our last line; -1 wants another line at once
        self._stacks: set[int] = set()
        self._alike: Counter[tuple[str, str, int]] = Counter()  # failures at one place of the code

    def loads(self, what: str) -> None:
        """A host process is about to start."""
        self._write("INFO", f"loads {what}")

    def begins(self, items: Sequence[str]) -> None:
        """A try of a mini-batch is about to start; told where something was printed since the last line, and
        otherwise once a second."""
        if time.monotonic() - self._when >= _SECONDS_BETWEEN_LINES or self._grown():
            self._write("INFO", f"scores {_few(items)}")

    def failed(self, attempt: int, failed: Mapping[str, UserError]) -> None:
        """A try has left items without a result."""
        for error in dict.fromkeys(failed.values()):
            place = error.kind, error.file, error.line
            self._alike[place] += 1
            if self._alike[place] > _MOST_ALIKE:
                continue
            if self._alike[place] == _MOST_ALIKE:
                self._write("INFO", "more failures like the next one are not told here; failed_items.jsonl has all")
            names = [item for item, why in failed.items() if why == error]
            self._trouble(f"try {attempt} failed for {_few(names)}: {error.headline}", error.stack)

    def not_loaded(self, what: str, stack: str) -> None:
        """The code cannot even be loaded."""
        self._trouble(what, stack)

    def cut_off(self) -> None:
        """The worker was ended before the script's shutdown() was done, if it has one."""
        self._write("INFO", "the worker was ended before shutdown() had ended")

    def not_shut_down(self, what: str, stack: str) -> None:
        """The script's shutdown() did not end well."""
        self._trouble(f"shutdown(): {what}", stack)

    def _trouble(self, what: str, stack: str) -> None:
        """With the stack, unless it stands here already."""
        known = hash(stack) in self._stacks
        if len(self._stacks) < _MOST_STACKS:
            self._stacks.add(hash(stack))
        lines = [what] if not stack else [f"{what} (again)"] if known else [what, stack.rstrip()]
        self._write("ERROR", "\n".join(lines))
        self._size = -1  # what is printed from here on is not part of it

    def _grown(self) -> bool:
        try:
            return self._file.stat().st_size != self._size
        except FileNotFoundError:
            return True

    def _write(self, level: str, text: str) -> None:
        self._size, self._when = append_line(self._file, level, text), time.monotonic()


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(shown, names[:3])) + more
