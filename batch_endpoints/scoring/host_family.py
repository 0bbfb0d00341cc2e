"""The processes of a host: itself and all that it and the script have started, daemons included.

Loaded by host.py, under the same rules: standard library only, Python 3.8's syntax.
"""

from __future__ import annotations

import contextlib
import os
import signal

MARK = "AZUREML_BI_OUTPUT_PATH"
"""Variable that every host has, with a folder of its worker's own; what it starts inherits it.

A daemon leaves the process group, and its parent is none of ours; this stays with it.
"""


def kill_processes(output_folder: str) -> None:
    """Kill the processes of the host with this output folder, but not the one that asks.

    What the script has started with another environment stays, unless it is in the host's process group.
    """
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
