"""The processes of a user's code: a host or a command, and all that it has started, daemons included.

It is the child of a process that stays beside it. What loses its parent becomes a child of that one, whatever
session or environment it has, so that all are found below it, and it ends them when its child or the worker has
ended.

Loaded by host.py and supervise.py, under the same rules: standard library only, Python 3.8's syntax.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time
from collections.abc import Iterable, Sequence

MARK = "AZUREML_BI_OUTPUT_PATH"
"""Variable that each of them has, with a folder of its worker's own; what it starts inherits it.

Processes are found by it where the one beside the host is killed, and where the system knows no adoption.
"""
TYPE_CHECKING = False  # as of typing, whose import takes time
if TYPE_CHECKING:
    from batch_endpoints.processes.relay import Relay

_PAUSE_MILLISECONDS = 200
_QUICK_LOOKS, _QUICK_LOOK_SECONDS = 50, 0.0005
_ADOPT_ORPHANS, _DIE_WITH_PARENT = 36, 1  # prctl(2): PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG


def leave_nothing_behind(reader: int, writers: Sequence[int], relay: Relay | None = None) -> None:
    """Go on in a child of this process, which itself stays and never returns from here.

    It ends as the child does, with all that the child has started, or when the worker's end of the pipe is closed.

    Args:
        reader: the child's end of the pipe from its worker.
        writers: the child's ends of pipes to others, which must see them closed when the child has ended.
        relay: passes on what the child prints.
    """
    adopts = _prctl(_ADOPT_ORPHANS, 1)
    beside = os.getpid()
    _watch(reader, writers)
    host = os.fork()
    if not host:
        if os.path.isdir("/proc"):
            os.setpgid(0, 0)  # a script may send signals to its whole group
        _prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for writer in writers:
        os.close(writer)
    status = _wait(host, reader, relay)
    if not adopts:
        kill_processes(os.environ[MARK])
    _end_all_below(beside)
    if relay:
        relay.close()
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # some have no other handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(beside, os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def _end_all_below(pid: int) -> None:
    """End all that is below this process, and wait for it: without a parent some systems keep them as zombies.

    Args:
        pid: of this process. What a child leaves becomes its own, so that most often its children are all.
    """
    with contextlib.suppress(ChildProcessError):  # none is left
        for _ in range(_QUICK_LOOKS):  # all processes of the machine take much longer to look through
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as children:
                for child in map(int, children.read().split()):
                    os.kill(child, signal.SIGKILL)
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(_QUICK_LOOK_SECONDS)
        while True:
            kill_descendants(pid)
            os.wait()


def _watch(reader: int, writers: Sequence[int]) -> None:
    """Leave a process that waits for the worker's end, and does then what it can if this one cannot.

    This one is a child of the worker: Ray kills these where it ends a worker, and nobody else is left.
    """
    beside = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for writer in writers:
        os.close(writer)
    closed = select.poll()
    closed.register(reader, 0)
    closed.poll()
    for _ in range(100):  # the one beside the host ends all of them, this one included
        if os.getppid() != beside:
            kill_processes(os.environ[MARK])
            break
        time.sleep(0.1)
    os._exit(0)


def _wait(host: int, reader: int, relay: Relay | None) -> int:
    """Reap children until the host is one of them, or the worker has gone; returns the host's status."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    events = select.poll()
    events.register(reader, 0)
    events.register(woken, select.POLLIN)
    streams = relay.streams if relay else []
    for stream in streams:
        events.register(stream, select.POLLIN)
    while True:
        child = -1
        while child:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == host:
                return status
        happened = dict(events.poll(_PAUSE_MILLISECONDS if streams else None))
        if reader in happened:
            return int(signal.SIGKILL)
        if woken in happened:
            os.read(woken, 512)
        for stream in happened.keys() & streams:
            if relay and not relay.forward(stream):
                events.unregister(stream)
        if relay and not happened:
            relay.pause()


def _prctl(option: int, value: int) -> bool:
    """As prctl(2), which only Linux has; False where it did nothing."""
    try:
        import ctypes

        return not ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return False


def kill_descendants(pid: int) -> None:
    """Kill all that a process has started, and they, and what has lost its parent where the process adopts it."""
    seen: set[int] = set()
    while True:  # until what they may have started meanwhile is gone as well
        parents = _parents()
        found = {pid}
        while more := {child for child, parent in parents.items() if parent in found} - found:
            found |= more
        if found - seen == {pid} - seen:
            return
        for child in found - {pid}:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        seen |= found


def _parents() -> dict[int, int]:
    """Process id -> that of its parent, of all that have not ended; empty where the system has no ``/proc``."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()  # its name may have a bracket
                if fields[0] != b"Z" or fields[17] != b"1":  # its first thread may have ended before the others
                    found[int(name)] = int(fields[1])
    return found


def families(hosts: Iterable[int] = ()) -> dict[int, int]:
    """Process id -> that of the first process of its host, of all hosts on this machine.

    A process belongs to a host by its ancestors, whatever its environment, session or group: what loses its parent
    is adopted by the one beside the host. So a host that a script starts, or seems to, is part of the script's own.

    Args:
        hosts: processes that are known to be the first ones of theirs.
    """
    parents = _parents()
    first = {pid for pid in parents if pid in hosts or _is_host(pid)}
    found = {}
    for pid in parents:
        line = [pid]
        while line[-1] in parents and len(line) <= len(parents):
            line.append(parents[line[-1]])
        if above := [one for one in line if one in first]:
            found[pid] = above[-1]
    return found


def _is_host(pid: int) -> bool:
    here = os.path.dirname(os.path.abspath(__file__))
    host = os.path.join(os.path.dirname(here), "scoring", "host.py")
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as command:
        begin = command.read(1 << 12).split(b"\0")[1:3]  # after its interpreter and -u, or -IS
        return os.fsencode(host) in begin or os.fsencode(os.path.join(here, "supervise.py")) in begin
    return False


def kill_processes(output_folder: str) -> None:
    """Kill the processes that have this output folder in their environment, but not the one that asks."""
    seen = {os.getpid()}
    while True:  # until what they may have started meanwhile is gone as well
        found = {pid for pid, folder in processes_of_hosts().items() if folder == output_folder} - seen
        if not found:
            return
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        seen |= found


def processes_of_hosts() -> dict[int, str]:
    """Process id -> output folder, of all hosts on this machine; empty where the system has no ``/proc``."""
    mark = f"{MARK}=".encode()
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environment:
                for variable in environment.read().split(b"\0"):
                    if variable.startswith(mark):
                        found[int(name)] = os.fsdecode(variable[len(mark) :])
    return found
