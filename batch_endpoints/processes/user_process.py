"""One process of a user's code: started in a session of its own, watched, ended with all that it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from batch_endpoints.processes.family import MARK, kill_descendants, kill_processes
from batch_endpoints.processes.memory import why_to_end

_CLEAR_UP_SECONDS = 1.0
_LOOK_SECONDS = 0.2  # how soon a process that takes all memory is noticed


class UserProcess:
    """A process that runs, or has ended.

    Args:
        command: what is started, with its arguments.
        environment: its whole environment; its AZUREML_BI_OUTPUT_PATH is that of no other worker.
        folder: its working directory.
        log: file that gets its stdout and stderr.
        memory_share: of the node's memory; where more is in use and this process holds most, it has to end.
        pipes: descriptors that it inherits.

    Raises:
        OSError: it could not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        memory_share: float,
        pipes: Sequence[int] = (),
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd=folder,
                pass_fds=pipes,
                start_new_session=True,
            )
        self._output_folder, self._memory_share, self._looked = environment[MARK], memory_share, 0.0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def exit_code(self, seconds: float) -> int | None:
        """The exit code, or minus the signal's number; None where it does not end in this time."""
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def why_to_end(self) -> str:
        """Why it has to end before the node's memory is used up; "" where it has not. Looks only now and then."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return ""
        self._looked = time.monotonic()
        return why_to_end(self._process.pid, self._memory_share)

    def kill(self) -> None:
        """End it and every process it has started. From any thread."""
        if not self.has_ended:
            kill_descendants(self._process.pid)
            if (
                self.exit_code(_CLEAR_UP_SECONDS) is None
            ):  # without its child it ends by itself, when it has cleared up
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)  # it leads its own group
        kill_processes(self._output_folder)

    def close(self) -> None:
        """``kill()``, and wait for its end: not for long, as a read from a dead disk cannot even be killed."""
        self.kill()
        self.exit_code(10)
