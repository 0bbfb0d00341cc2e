"""Ends what a host and the script in it have started, daemons included: those leave the host's process group.

Loaded by host.py, under the same rules: standard library only, Python 3.8's syntax.
"""

from __future__ import annotations

import contextlib
import os
import signal

MARK = "AZUREML_BI_OUTPUT_PATH"
"""Variable that every host has, with a folder of its worker's own; what is started inherits it."""


def kill_descendants(output_folder: str) -> None:
    """Kill every process that was started with this output folder, but not the one that asks.

    They are known by their environment, since the parent of a daemon is none of ours. Where the system does not show
    that (macOS), or a daemon was given another one, it stays.
    """
    mark = os.fsencode(f"{MARK}={output_folder}")
    seen = {os.getpid()}
    while found := _marked(mark) - seen:  # until what they may have started meanwhile is gone as well
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        seen |= found


def _marked(mark: bytes) -> set[int]:
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environment:
                if mark in environment.read().split(b"\0"):
                    found.add(int(name))
    return found
