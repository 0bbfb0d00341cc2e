"""A program of a user's, run with all that it starts by a small process of ours that stays beside it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from batch_endpoints.processes.user_process import UserProcess

_SUPERVISOR = Path(__file__).with_name("supervise.py")
_READ_ONLY = Path(__file__).with_name("read_only.py")


class Program:
    """One that runs, or has ended.

    Args:
        command: what is started, with its arguments.
        environment: its whole environment; its AZUREML_BI_OUTPUT_PATH is that of no other program.
        folder: its working directory.
        log: file that gets what it prints, line by line.
        last_words: an existing folder; at the end it has the last of that, in ``stdout`` and ``stderr``.
        memory_share: see ``UserProcess``.
        read_only: paths below which it cannot write, whoever it runs as; only where ``can_protect()``.
        writable: folders below those which it can write to.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        last_words: Path,
        memory_share: float,
        read_only: Sequence[Path] = (),
        writable: Sequence[Path] = (),
    ) -> None:
        its_end, self._pipe = os.pipe()
        self._last_words = last_words
        arguments = [str(its_end), str(last_words), *map(str, read_only), "--", *map(str, writable), "--", *command]
        try:
            self._process = UserProcess(
                [sys.executable, "-IS", str(_SUPERVISOR), *arguments],
                environment,
                folder,
                log,
                memory_share,
                pipes=(its_end,),
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(its_end)

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or minus the signal's number, as soon as it ends; None where it does not in this time."""
        try:
            ended = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # another system, or it has ended
            return self._process.exit_code(seconds)
        try:
            events = select.poll()
            events.register(ended, select.POLLIN)
            events.poll(seconds * 1000)
        finally:
            os.close(ended)
        return self._process.exit_code(0)

    def why_to_end(self) -> str:
        """See ``UserProcess``."""
        return self._process.why_to_end()

    def last_words(self, stream: str) -> str:
        """The last 64 kB that it has written to ``stdout`` or ``stderr``; once it has ended."""
        try:
            return (self._last_words / stream).read_bytes().decode("utf-8", "backslashreplace")
        except OSError:
            return ""

    def close(self) -> None:
        """End it with all that it has started; harmless when it has ended."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if (self._process.exit_code(0) or 0) < 0 or not self._process.has_ended:
            self._process.close()  # otherwise the process beside it has seen to it


def read_only_command(command: Sequence[str], read_only: Sequence[Path]) -> list[str]:
    """What starts a program that can write nothing below these paths; where ``can_protect()``."""
    if not read_only:
        return [*command]
    return [sys.executable, "-IS", str(_READ_ONLY), *map(str, read_only), "--", *command]


@cache
def can_protect() -> bool:
    """Can paths be made read-only for a program on this machine?"""
    try:
        done = subprocess.run([sys.executable, "-IS", str(_SUPERVISOR)], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0
