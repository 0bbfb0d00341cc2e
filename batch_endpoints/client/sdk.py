"""The client: one object with everything a server offers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from batch_endpoints.client.connection import Connection, at
from batch_endpoints.client.job_handle import Job, JobEvent, Output, OutputFile
from batch_endpoints.client.records import Records, Versions
from batch_endpoints.errors import InvocationError
from batch_endpoints.settings import Settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from batch_endpoints.specs import Invocation

__all__ = ["BatchEndpointsClient", "Job", "JobEvent", "Output", "OutputFile", "Overrides"]

Given = str | Path | Mapping[str, Any]
"""An input or output: a local path, a URI, ``azureml:<data asset>``, or ``{"type": …, "path": …, "value": …}``."""


class Overrides(TypedDict, total=False):
    """What one job may want different from its deployment, and how it is called."""

    job_name: str
    display_name: str
    description: str
    experiment_name: str
    tags: Mapping[str, str]
    properties: Mapping[str, str]
    instance_count: int
    resource_properties: Mapping[str, Any]
    mini_batch_size: int | str
    max_concurrency_per_instance: int
    error_threshold: int
    on_error: str
    keep_failed_inputs: bool
    max_retries: int
    timeout: int
    output_file_name: str
    output_format: str
    logging_level: str
    environment_variables: Mapping[str, str]
    overwrite: bool


class BatchEndpointsClient:
    """A server's endpoints, deployments, assets and jobs; safe to send to Ray tasks and actors."""

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        """Args:
        url: the server; None takes BATCH_ENDPOINTS_URL, then the one that `up` started here, then port 8700.
        settings: what the environment says; read now where it is left out.
        """
        self.connection = Connection(url or "", settings=settings)
        self.endpoints = Records(self.connection, "endpoints")
        self.models = Versions(self.connection, "models")
        self.data = Versions(self.connection, "data")
        self.environments = Versions(self.connection, "environments")
        self.components = Versions(self.connection, "components")
        self.datastores = Records(self.connection, "datastores")
        self.computes = Records(self.connection, "computes")

    @property
    def url(self) -> str:
        return self.connection.url

    def deployments(self, endpoint: str) -> Records:
        """The deployments of one endpoint."""
        return Records(self.connection, "deployments", endpoint=endpoint)

    def invoke(
        self,
        endpoint: str,
        input: Given | None = None,
        *,
        inputs: Mapping[str, Given | bool | int | float] | None = None,
        outputs: Mapping[str, Given] | None = None,
        deployment: str = "",
        request_id: str = "",
        **overrides: Unpack[Overrides],
    ) -> Job:
        """Ask an endpoint to score data; the job it makes is returned at once.

        Args:
            endpoint: its name.
            input: the data, where there is one input. Local files are uploaded unless the server sees them.
            inputs: several, by name; a number or boolean is a literal (text is a path, or ``{"value": …}``).
            outputs: where outputs go, by name (``score`` for a model); left out, they stay with the job.
            deployment: which one answers; "" is the endpoint's default deployment.
            request_id: two calls with one id make one job; "" makes up a fresh one. Tries that are made again
                because the server was away carry the same id.
            **overrides: this job's own settings, see :class:`Overrides`.

        Raises:
            InvocationError: the server does not accept this; there is no job.
            SpecError: an override that does not exist or has a wrong value.
        """
        from batch_endpoints.specs import Invocation, check

        if (input is None) == (inputs is None):
            raise InvocationError("expected either input or inputs", mend='Write input="data/" for one input.')
        named = {"input": input} if input is not None else dict(inputs or {})
        document: dict[str, Any] = dict(overrides)
        if "job_name" in document:
            document["name"] = document.pop("job_name")
        retry = {key: document.pop(key) for key in ("max_retries", "timeout") if key in document}
        document |= {"retry_settings": retry} if retry else {}
        document |= {"endpoint": endpoint, "deployment": deployment}
        document["inputs"] = {name: _given(value) for name, value in named.items()}
        document["outputs"] = {name: _given(value) for name, value in (outputs or {}).items()}
        return self.submit(check(Invocation, document, where="invoke"), request_id=request_id)

    def submit(self, invocation: Invocation, *, request_id: str = "") -> Job:
        """Send an invocation that names its endpoint; local inputs become what the server can read."""
        from batch_endpoints.client.wire import invocation_body, is_local

        if not invocation.endpoint:
            raise InvocationError("the invocation names no endpoint")
        inputs = {
            name: given.model_copy(update=self._readable(given.path)) if is_local(given.path) else given
            for name, given in invocation.inputs.items()
        }
        outputs = {
            name: given.model_copy(update={"path": self._writable(given.path)}) if is_local(given.path) else given
            for name, given in invocation.outputs.items()
        }
        headers = {"repeatability_request-id": request_id or str(uuid.uuid4())}
        if invocation.deployment:
            headers["azureml-model-deployment"] = invocation.deployment
        document = self.connection.json(
            "POST",
            at("endpoints", invocation.endpoint, "jobs"),
            body=invocation_body(invocation.model_copy(update={"inputs": inputs, "outputs": outputs})),
            headers=headers,
            repeatable=True,
        )
        return Job(self.connection, document)

    def job(self, name: str) -> Job:
        """A job by name, as it is now."""
        return Job(self.connection, self.connection.json("GET", at("jobs", name)))

    def create_job(
        self,
        source: str | Path | Mapping[str, Any],
        changes: Mapping[str, Any] | None = None,
        *,
        flags: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> Job:
        """Run a pipeline, or one command, that stands for itself: without an endpoint.

        Args:
            source: a job's YAML file (``type: pipeline`` or ``command``), to which relative paths in it are
                relative; or its content.
            changes: values that replace those of the source, by dotted key.
            flags: what gave the changes, by dotted key, for errors.
            request_id: as of ``invoke``.

        Raises:
            SpecError: names file, line, key, and what was expected.
            InvocationError: the server does not accept this; there is no job.
        """
        from batch_endpoints.client.job_files import job_document

        document = job_document(self.connection, source, changes or {}, flags)
        headers = {"repeatability_request-id": request_id or str(uuid.uuid4())}
        return Job(
            self.connection,
            self.connection.json("POST", at("jobs"), body=document, headers=headers, repeatable=True),
        )

    def jobs(
        self,
        *,
        endpoint: str = "",
        deployment: str = "",
        status: str = "",
        parent: str = "",
        recursive: bool = False,
    ) -> Iterator[Job]:
        """Jobs, newest first; what is left empty lets all through.

        Args:
            parent: a pipeline's job, whose steps are wanted.
            recursive: also the steps of those that are pipelines themselves, each after the step that it is in.
        """
        path = at("jobs")
        if parent:
            for document in self.connection.pages(path, parent=parent):
                yield (step := Job(self.connection, document))
                if recursive and step.document["type"] == "pipeline":
                    yield from self.jobs(parent=step.name, recursive=True)
            return
        if endpoint:
            path = at("endpoints", endpoint, *(("deployments", deployment) if deployment else ()), "jobs")
        for document in self.connection.pages(path, **({"status": status} if status else {})):
            yield Job(self.connection, document)

    def upload(self, path: str | Path) -> str:
        """Send a local file or folder; the URI returned stands for it in documents and invocations."""
        from batch_endpoints.client.transfer import upload

        return upload(self.connection, Path(path))

    def _readable(self, path: str) -> dict[str, str]:
        """A local input as the server can read it, and its type."""
        from batch_endpoints.client.transfer import upload
        from batch_endpoints.client.wire import existing

        found, pattern = existing(path)
        kind = {"type": "uri_file"} if found.is_file() else {}
        if self.connection.on_the_servers_machine():
            return {"path": found.joinpath(*(pattern.names if pattern else ())).as_uri(), **kind}
        return {"path": upload(self.connection, found, pattern=pattern), **kind}

    def _writable(self, path: str) -> str:
        if not self.connection.on_the_servers_machine():
            raise InvocationError(
                f"the output path '{path}' is on this machine, and the server at {self.url} is on another",
                mend="Leave it out and download the output afterwards, or give a URI that the server can write to.",
            )
        return Path(path).expanduser().absolute().as_uri()


def _given(value: Given | bool | int | float) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str | Path):
        return {"path": str(value)}
    return {"type": "literal", "value": value}
