"""A job as a client sees it: its state, its events and its outputs."""

from __future__ import annotations

import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from batch_endpoints.client.connection import Connection, at
from batch_endpoints.client.outputs import Output, OutputFile, Outputs
from batch_endpoints.client.transfer import CHUNK_BYTES, download_all
from batch_endpoints.errors import JobFailed, ServerError

if TYPE_CHECKING:
    from batch_endpoints.specs import Invocation, JobError, Progress

logger = logging.getLogger(__name__)

__all__ = ["ENDED", "Job", "JobEvent", "Output", "OutputFile", "Outputs"]

ENDED = ("Completed", "Failed", "Canceled")
LONGEST_POLL_SECONDS = 2.0
RECONNECT_SECONDS = 0.5
SILENCE_SECONDS = 35.0  # the server writes something every 10 s, so then the stream is dead


@dataclass(frozen=True)
class JobEvent:
    """Something a job that is watched has told: a line of its log, or how far it is."""

    kind: Literal["log", "progress", "end"]
    job: Job
    line: str = ""


class Job:
    """One job; what it says is as of the last ``refresh``, ``wait`` or event."""

    def __init__(self, connection: Connection, answer: dict[str, Any]) -> None:
        """Args:
        connection: the server that has it.
        answer: the job as the server's JSON has it.
        """
        self._connection, self._answer = connection, answer

    def __repr__(self) -> str:
        return f"<Job {self.name} {self.status}>"

    @property
    def name(self) -> str:
        return str(self._answer["name"])

    @property
    def status(self) -> str:
        """``NotStarted``, ``Queued``, ``Running``, ..., at last ``Completed``, ``Failed`` or ``Canceled``."""
        return str(self._answer["properties"]["status"])

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def progress(self) -> Progress:
        from batch_endpoints.specs import Progress

        told = _snake_case(self._answer["properties"].get("progress") or {})
        return Progress(**{key: told[key] for key in Progress.model_fields if key in told})

    @property
    def error(self) -> JobError | None:
        """Why it failed; None where it has not."""
        from batch_endpoints.specs import JobError

        told = self._answer["properties"].get("error")
        return JobError(**{key: told.get(key) or "" for key in JobError.model_fields}) if told else None

    @property
    def headline(self) -> str:
        """Its error in one line; "" where there is none."""
        return str((self._answer["properties"].get("error") or {}).get("message", "")).partition("\n")[0]

    @property
    def outputs(self) -> Outputs:
        """Outputs by name, ``score`` for a model; their files are there once the job has completed."""
        return self._outputs(partial=False)

    @property
    def partial_outputs(self) -> Outputs:
        """The same outputs with what is committed by now of a job that runs, has failed or was canceled."""
        return self._outputs(partial=True)

    @property
    def document(self) -> dict[str, Any]:
        """Everything the server says about it, flat and in snake_case."""
        properties = dict(self._answer["properties"])
        system = self._answer.get("systemData") or {}
        return {
            "name": self.name,
            "status": self.status,
            "endpoint_name": properties.get("endpointName", ""),
            "deployment_name": properties.get("deploymentName", ""),
            "display_name": properties.get("name", ""),
            "experiment_name": properties.get("experimentName", ""),
            "description": properties.get("description", ""),
            "created_at": system.get("createdAt"),
            "created_by": system.get("createdBy", ""),
            "started_at": properties.get("startedAt"),
            "ended_at": properties.get("endedAt"),
            "progress": _snake_case(properties.get("progress") or {}),
            "inputs": properties.get("inputs") or {},
            "outputs": properties.get("outputs") or {},
            "error": properties.get("error"),
            "notes": properties.get("notes") or [],
            "launches": properties.get("launches", 0),
            "retries": properties.get("retries", 0),
            "compute": _snake_case(properties.get("compute") or {}),
            "folder": properties.get("folder", ""),
            "type": properties.get("jobType", "scoring"),
            "parent_job_name": properties.get("parentJobName", ""),
            "step": properties.get("step", ""),
            "steps": {path: _snake_case(step) for path, step in (properties.get("steps") or {}).items()},
            "tags": properties.get("tags") or {},
            "properties": properties.get("properties") or {},
            "id": self._answer.get("id", ""),
        }

    def refresh(self) -> Job:
        """Ask the server again; returns this same job."""
        self._answer = self._connection.json("GET", at("jobs", self.name))
        return self

    def wait(
        self,
        timeout_seconds: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> Job:
        """Return when it has completed.

        Args:
            timeout_seconds: patience; None waits for ever.
            clock: tells seconds.
            pause: called with seconds between two questions.

        Raises:
            JobFailed: it ended otherwise; says why.
            TimeoutError: it has not ended in time; it goes on.
        """
        give_up = None if timeout_seconds is None else clock() + timeout_seconds
        seconds = 0.2
        while not self.refresh().ended:
            if give_up is not None and clock() >= give_up:
                raise TimeoutError(f"job '{self.name}' is {self.status} after {timeout_seconds} seconds; it goes on")
            pause(seconds if give_up is None else max(0.0, min(seconds, give_up - clock())))
            seconds = min(seconds * 1.3, LONGEST_POLL_SECONDS)
        if self.status != "Completed":
            raise JobFailed(
                f"job '{self.name}' ended as {self.status}" + (f": {self.headline}" if self.headline else ""),
                mend=f"Its log: job.logs(), or `batch-endpoints job logs -n {self.name}`.",
            )
        return self

    def cancel(self) -> Job:
        """Ask it to end; what is committed stays.

        Raises:
            Conflict: it has ended already.
        """
        self._answer = self._connection.json("POST", at("jobs", self.name, "cancel"))
        return self

    def resume(self, changes: Invocation | None = None) -> Job:
        """Let it go on from what it has committed, after it has failed or was canceled.

        Args:
            changes: settings it shall have from now on, such as a longer timeout.

        Raises:
            Conflict: it has not ended, or has completed.
        """
        return self._again("resume", changes)

    def retry_failed(self, changes: Invocation | None = None) -> Job:
        """Let it try its failed items and rows again; what succeeds takes its place in the same output.

        Args:
            changes: settings it shall have from now on, such as a longer timeout.

        Raises:
            Conflict: it has not ended, or nothing has failed in it.
        """
        return self._again("retry-failed", changes)

    def report(self) -> dict[str, Any]:
        """What became of it: items, rows, seconds of each stage, tries, versions (``report.json``).

        Raises:
            Conflict: it has not ended.
        """
        answer: dict[str, Any] = self._connection.json("GET", at("jobs", self.name, "report"))
        return answer

    def logs(self, *, worker: str = "", errors: bool = False) -> str:
        """The driver's log and the workers', by time.

        Args:
            worker: only logs with this in their names; ``driver`` is one.
            errors: only failed tries with their stacks, and what the driver warns of.

        Raises:
            NotFound: no log has such a name.
        """
        return b"".join(self.log_pieces(worker=worker, errors=errors)).decode("utf-8", "replace")

    def log_pieces(self, *, worker: str = "", errors: bool = False) -> Iterator[bytes]:
        """As ``logs``, in pieces of any length: they may be long together."""
        asked = _log_query(worker, errors)
        with self._connection.send("GET", at("jobs", self.name, "logs"), params=asked, stream=True) as response:
            yield from response.iter_content(CHUNK_BYTES)

    def download_artifacts(self, folder: str | Path) -> list[Path]:
        """Fetch its report, failed items and logs into a folder; returns where they are."""
        root = at("jobs", self.name, "artifacts")
        paths = [str(one["path"]) for one in self._connection.json("GET", root)["value"]]
        return download_all(self._connection, root, paths, Path(folder))

    def stream(
        self, *, worker: str = "", errors: bool = False, pause: Callable[[float], None] = time.sleep
    ) -> Iterator[JobEvent]:
        """Its log and progress as they come, until it ends; a connection that breaks is made anew.

        The last event is of kind ``end``. This job is kept up to date meanwhile.

        Args:
            worker: as of ``logs``.
            errors: as of ``logs``.
            pause: called with seconds before a new connection is made.
        """
        seen: Counter[str] = Counter()
        while True:
            old = seen.copy()  # a new connection tells the log from its beginning
            try:
                for kind, data in self._events(_log_query(worker, errors)):
                    if kind == "log":
                        if old[data]:
                            old[data] -= 1
                            continue
                        seen[data] += 1
                        yield JobEvent("log", self, data)
                    elif kind in ("progress", "end"):
                        self._answer = json.loads(data)
                        yield JobEvent("end" if kind == "end" else "progress", self)
                        if kind == "end":
                            return
            except OSError as error:  # what requests raises when the connection breaks
                logger.debug("stream broke", extra={"job": self.name, "error": str(error)})
            pause(RECONNECT_SECONDS)

    def _outputs(self, *, partial: bool) -> Outputs:
        given = (self._answer["properties"].get("outputs") or {}).items()
        uris = {name: "" if partial else str(output.get("path") or "") for name, output in given}
        found = {name: Output(self._connection, self.name, name, uri, partial=partial) for name, uri in uris.items()}
        return Outputs(self.name, found)

    def _again(self, verb: str, changes: Invocation | None) -> Job:
        from batch_endpoints.client.wire import invocation_body

        body = invocation_body(changes) if changes else None
        self._answer = self._connection.json("POST", at("jobs", self.name, verb), body=body)
        return self

    def _events(self, asked: dict[str, str]) -> Iterator[tuple[str, str]]:
        """Server-sent events as (kind, data), until the connection ends in whatever way."""
        path, asked = at("jobs", self.name, "logs"), {"follow": "true", **asked}
        headers = {"accept": "text/event-stream"}
        with self._connection.send(
            "GET",
            path,
            params=asked,
            headers=headers,
            stream=True,
            timeout=(5.0, SILENCE_SECONDS),
        ) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ServerError(f"{self._connection.url} does not follow jobs")
            kind, data = "message", list[str]()
            for raw in response.iter_lines(chunk_size=None, delimiter=b"\n"):
                line = raw.decode("utf-8", "replace").removesuffix("\r")
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line:
                    if data:
                        yield kind, "\n".join(data)
                    kind, data = "message", []
                elif field == "event":
                    kind = value
                elif field == "data":
                    data.append(value)


def _log_query(worker: str, errors: bool) -> dict[str, str]:
    return ({"worker": worker} if worker else {}) | ({"errors": "true"} if errors else {})


def _snake_case(document: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower(): value for key, value in document.items()}
