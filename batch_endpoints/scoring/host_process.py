"""The worker's end of a host process: starts it, asks it with a time limit, ends it with all it has started."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batch_endpoints.errors import BadReply, HostKilled, HostLost, MemoryShort
from batch_endpoints.processes.program import read_only_command
from batch_endpoints.processes.user_process import UserProcess
from batch_endpoints.scoring.host import HEADER
from batch_endpoints.scoring.replies import Reply, read_reply, read_sizes

HOST_SCRIPT = Path(__file__).with_name("host.py")
_PIPE_BYTES = 1 << 20
_LOOK_SECONDS = 0.2  # how soon a host that died without closing its pipe, or takes all memory, is noticed


class HostProcess:
    """One running host.

    Args:
        interpreter: the deployment's Python.
        environment: the host's whole environment; its AZUREML_BI_OUTPUT_PATH is no other worker's.
        folder: its working directory.
        log: file that gets its stdout and stderr.
        memory_share: of the node's memory; where more is in use and this host holds most, it is ended.
        read_only: paths below which it cannot write, whoever it runs as.
    """

    def __init__(
        self,
        interpreter: str,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        memory_share: float,
        read_only: Sequence[Path] = (),
    ) -> None:
        to_host, ours_out = _wide_pipe()
        ours_in, from_host = _wide_pipe()
        pipes = to_host, from_host
        host = [interpreter, "-u", str(HOST_SCRIPT), *map(str, pipes)]
        command = read_only_command(host, read_only)
        try:
            self._process = UserProcess(command, environment, folder, log, memory_share, pipes)
        except OSError as error:
            os.close(ours_in)
            os.close(ours_out)
            raise HostLost(
                f"the interpreter '{interpreter}' could not be started: {error.strerror}",
                mend="Check the deployment's environment.",
            ) from None
        finally:
            os.close(to_host)
            os.close(from_host)
        self._in, self._out = ours_in, ours_out
        self._calls = 0
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)

    @property
    def pid(self) -> int:
        """Of the process beside the one that runs the script, which is its child."""
        return self._process.pid

    def call(self, request: Mapping[str, Any], timeout_seconds: float, payload: Any = b"") -> Reply:
        """Ask the host and wait for its answer.

        Args:
            payload: bytes that go with the request, or a buffer of them.

        Raises:
            HostLost: it ended, or did not answer in time, or takes too much memory, or its answer is none; it is
                dead when this is raised.
        """
        deadline = time.monotonic() + timeout_seconds
        self._calls += 1
        request = {**request, "number": self._calls}
        encoded = json.dumps(request).encode()
        try:
            self._write(HEADER.pack(len(encoded), len(payload)) + encoded, deadline)
            self._write(payload, deadline)
            header_size, payload_size = read_sizes(self._read(HEADER.size, deadline))
            header = self._read(header_size, deadline)
            return read_reply(header, self._read(payload_size, deadline), request)
        except TimeoutError:
            self.close()
            raise HostLost(
                f"{request['op']}() did not end within {timeout_seconds:g} seconds, so its process was killed",
                mend="Give it more time with retry_settings.timeout, or make the mini-batches smaller."
                if request["op"] == "run"
                else "",
            ) from None
        except (EOFError, BrokenPipeError):
            raise self._lost() from None
        except (MemoryShort, BadReply):
            self.close()
            raise

    def kill(self) -> None:
        """End the host and every process it has started; a call under way raises HostLost. From any thread."""
        self._process.kill()

    def close(self) -> None:
        """``kill()``, and let go of it; harmless when it has ended."""
        self._process.close()
        for fd in (self._in, self._out):
            if fd >= 0:
                os.close(fd)
        self._in = self._out = -1

    def _write(self, data: Any, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._out, select.POLLOUT, deadline)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._out, view) :]

    def _read(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        left = memoryview(data)
        while left:
            self._wait(self._in, select.POLLIN, deadline)
            count = os.readv(self._in, [left])
            if not count:
                raise EOFError
            left = left[count:]
        return data

    def _wait(self, fd: int, event: int, deadline: float) -> None:
        """Until the pipe is ready.

        Raises:
            TimeoutError: it is not in time.
            EOFError: the host has ended.
            MemoryShort: it has to be.
        """
        ready = select.poll()  # not select(), which refuses descriptors above 1023
        ready.register(fd, event)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._check_memory()
            if ready.poll(min(left, _LOOK_SECONDS) * 1000):
                return
            if self._process.has_ended:
                raise EOFError

    def _check_memory(self) -> None:
        if why := self._process.why_to_end():
            raise MemoryShort(
                f"the scoring process was killed for want of memory: {why}",
                mend="Make mini_batch_size or max_concurrency_per_instance smaller.",
            )

    def _lost(self) -> HostLost:
        code = self._process.exit_code(5)  # a host that has just closed its pipe ends within a moment
        self.close()
        return (HostKilled if code == -signal.SIGKILL else HostLost)(_how_it_ended(code))


def _wide_pipe() -> tuple[int, int]:
    """A pipe that takes a megabyte at once, where the system lets it: tables go through it, and each time it is full
    the other side has to be waited for."""
    read, write = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # a user may have so many
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read, write


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "the scoring process closed its connection"
    if code >= 0:
        return f"the scoring process ended itself with exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    why = {
        "SIGKILL": "; because memory ran out, or because the job was ended",
        "SIGSEGV": "; a crash in compiled code",
        "SIGABRT": "; a crash in compiled code",
    }.get(name, "")
    return f"the scoring process was killed by {name}{why}"
