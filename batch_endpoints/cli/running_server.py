"""The server that ``up`` started on this machine, as ``server.json`` in the home tells of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args
from urllib.parse import urlencode

from batch_endpoints.cli.local_ray import LocalRay, is_running
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.settings import Settings

MOST_COUNTED = 1000


@dataclasses.dataclass(frozen=True)
class RunningServer:
    """What ``server.json`` in the home says of the server that ``up`` started.

    Args:
        id: the server's own, told at ``GET /``: who reads it here too is on the server's machine.
        ray: the Ray that was started for it; None where the cluster was there before.
    """

    id: str
    url: str
    ray_address: str
    dashboard: str
    ray: LocalRay | None


def find_server(home: Path) -> RunningServer | None:
    """The server that ``up`` started here, if it still runs."""
    started = read_server(home)
    if started is None:
        return None
    alive = is_running(started.ray) if started.ray else _answers(started)
    return started if alive else None


def write_server(home: Path, running: RunningServer) -> None:
    """Let ``down``, ``status`` and clients find it."""
    aside = server_file(home).with_suffix(".new")
    aside.write_text(json.dumps(dataclasses.asdict(running), indent=2), encoding="utf-8")
    aside.replace(server_file(home))


def read_server(home: Path) -> RunningServer | None:
    """The server that was started here, whether it still runs or not."""
    try:
        document = json.loads(server_file(home).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    own = LocalRay(**document.pop("ray")) if document.get("ray") else None
    return RunningServer(**{**document, "ray": own})


def server_file(home: Path) -> Path:
    return home / "server.json"


def unfinished_jobs(running: RunningServer, settings: Settings) -> str:
    """``2 running and 3 queued``; "" where there is none, or the server does not say."""
    from batch_endpoints.client.connection import Connection
    from batch_endpoints.specs import TERMINAL, JobStatus

    statuses = [status for status in get_args(JobStatus) if status not in TERMINAL]
    query = urlencode({"status": statuses, "top": MOST_COUNTED}, doseq=True)
    try:
        connection = Connection(running.url, settings=settings, pause=_at_once)
        jobs = connection.json("GET", f"/jobs?{query}", timeout=(5, 5))["value"]
        queued = sum(job["properties"]["status"] == "NotStarted" for job in jobs)
    except (BatchEndpointError, KeyError):
        return ""
    more = "at least " if len(jobs) == MOST_COUNTED else ""
    counts = {"running": len(jobs) - queued, "queued": queued}
    return more + " and ".join(f"{count} {what}" for what, count in counts.items() if count)


def _at_once(seconds: float) -> None:
    """Between two tries: who ends a server does not wait for it."""


def _answers(running: RunningServer) -> bool:
    """Does this server answer? A cluster that was there before it may have gone without it."""
    import requests

    from batch_endpoints.client.tokens import authority_of

    try:
        trusted = authority_of(running.url, Settings.read(), {"url": running.url})
        return bool(requests.get(running.url, timeout=5, verify=trusted).json().get("id") == running.id)
    except (requests.RequestException, ValueError):
        return False
