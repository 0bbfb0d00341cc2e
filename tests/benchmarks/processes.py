"""Memory and CPU time of a process and of all that descend from it, as Linux tells them in /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS = 0.25


@dataclass
class Usage:
    """Of a tree of processes.

    Args:
        peak_mb: highest sum over all its processes; what several share is divided among them (PSS).
        cpu_seconds: spent between the first and the last look.
    """

    peak_mb: float = 0.0
    before_mb: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def numbers(self) -> dict[str, float]:
        if not self.peak_mb:
            return {}
        return {"peak_mb": self.peak_mb - self.before_mb, "cpu_seconds": self.cpu_seconds}


@contextmanager
def watched(pid: int, usage: Usage) -> Iterator[None]:
    """Fill in what the tree below a process uses while the block runs."""
    ended = threading.Event()
    spent: dict[int, float] = {}
    first = {one: _cpu_seconds(one) for one in tree(pid)}
    usage.before_mb = sum(_memory_mb(one) for one in first)

    def look() -> None:
        while True:
            last = ended.wait(_LOOK_SECONDS)
            pids = tree(pid)
            usage.peak_mb = max(usage.peak_mb, sum(_memory_mb(one) for one in pids))
            for one in pids:
                spent[one] = max(spent.get(one, 0.0), _cpu_seconds(one) - first.get(one, 0.0))
            if last:
                break

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        usage.cpu_seconds = sum(spent.values())


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, ())
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _memory_mb(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass  # it has ended
    return 0.0
