"""Drivers that are started somewhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

LaunchStatus = Literal["absent", "pending", "running", "succeeded", "failed", "stopped"]


@dataclass(frozen=True)
class Launch:
    """What has become of one driver process."""

    status: LaunchStatus
    message: str = ""


class JobLauncher(Protocol):
    """Starts drivers somewhere else and says what became of them."""

    def launch(self, launch_id: str, folder: str) -> None:
        """Start ``python -m batch_endpoints.engine <folder>``; nothing happens if this id was launched before."""

    def look(self, launch_id: str) -> Launch: ...

    def stop(self, launch_id: str) -> None:
        """Ask it to end; harmless where it has ended or never was."""
