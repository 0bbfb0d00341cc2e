"""The memory of a node, and which worker's host has to end before it is used up.

When it is, the system kills the largest process, in a container perhaps all of them; and Ray, which looks for it a
little earlier, kills its workers on the node, the server's among them, but sees nothing of what hosts hold. So each
worker looks while its host is busy, and the largest host ends in time, by its own worker.
"""

from __future__ import annotations

import re
import resource
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from batch_endpoints.processes.family import families


@dataclass(frozen=True)
class NodeMemory:
    """Bytes, of the machine or of the container around this process: of the one that is fuller."""

    total: int
    used: int


def why_to_end(host: int, share: float) -> str:
    """Why a host has to end now, with all that it has started; "" where it has not.

    Args:
        host: the id of its first process, the one beside the script's.

    It has to where more than ``share`` of the node's memory is in use, no other worker's host holds more, and
    ending it would change that.
    """
    memory = node_memory()
    if memory is None or memory.used <= share * memory.total:
        return ""
    held = Counter[int]()
    for pid, first in families({host}).items():
        held[first] += _resident_bytes(pid)
    own = held[host]
    if own < max(held.values()) or memory.used - own > share * memory.total:
        return ""
    return f"it held {_gb(own)} when {_gb(memory.used)} of its node's {_gb(memory.total)} of memory were in use"


def node_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> NodeMemory | None:
    """What there is and what is in use, without files that are only cached; None where the system does not tell.

    Args:
        proc: mounted proc(5).
        cgroup: mounted cgroup(7), of either version.
    """
    try:
        told = dict(re.findall(r"^(\w+): +(\d+) kB$", (proc / "meminfo").read_text(), re.MULTILINE))
    except OSError:
        return None
    total, available = (int(told[name]) << 10 for name in ("MemTotal", "MemAvailable"))
    machine = NodeMemory(total, total - available)
    places = (
        (cgroup, "memory.max", "memory.current", ""),
        (cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    )
    around = [_container(*place) for place in places]
    return max((machine, *filter(None, around)), key=lambda memory: memory.used / memory.total)


def _container(folder: Path, limit: str, usage: str, prefix: str) -> NodeMemory | None:
    """None where it has no limit."""
    try:
        total, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # "max" is no number
        return None
    return NodeMemory(total, used - sum(int(told[prefix + name]) for name in ("inactive_file", "active_file")))


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):  # it has ended
        return 0


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
