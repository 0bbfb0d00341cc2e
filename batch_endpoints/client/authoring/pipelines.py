"""Functions as pipelines: what they call are the steps, what they return are the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from batch_endpoints.client.authoring.authored import COMPOSED, Authored, Described, plain
from batch_endpoints.client.authoring.components import FunctionComponent
from batch_endpoints.client.authoring.ports import ports_of
from batch_endpoints.errors import SpecError
from batch_endpoints.planning.pipeline.graph_types import nearest

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from batch_endpoints.client.job_handle import Job
    from batch_endpoints.client.records import Document
    from batch_endpoints.client.sdk import BatchEndpointsClient

_LITERALS = ("string", "boolean", "number", "integer")


class OfPipeline(Described, total=False):
    """What a pipeline may state besides."""

    settings: Mapping[str, Any]


class Reference:
    """A value that exists only when the pipeline runs: an input of it, or an output of a step."""

    def __init__(self, expression: Callable[[], str]) -> None:
        self._expression = expression

    def __str__(self) -> str:
        return f"${{{{{self._expression()}}}}}"

    def __bool__(self) -> bool:
        raise SpecError(
            f"{self} has no value while the pipeline is composed",
            mend="Decide by it in a component, or compose two pipelines.",
        )


class StepOutput(Reference):
    """An output of a step."""

    def __init__(self, step: Step, name: str) -> None:
        super().__init__(lambda: f"parent.jobs.{step.name}.outputs.{name}")
        self.step, self.name = step, name


class StepOutputs:
    """The outputs of a step, as attributes or by name."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def __getattr__(self, name: str) -> StepOutput:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> StepOutput:
        known = self._step.of.document.get("outputs") or {}
        if name not in known:
            raise SpecError(
                f"step '{self._step.name}' has no output '{name}'; {nearest(name, known)}", where=self._step.of.where
            )
        return StepOutput(self._step, name)


class Step:
    """One step of a pipeline that is being composed."""

    def __init__(self, name: str, of: Authored, given: Mapping[str, Any]) -> None:
        self.name, self.of, self.given = name, of, given
        self.settings: dict[str, Any] = {}

    @property
    def outputs(self) -> StepOutputs:
        return StepOutputs(self)

    def set(self, **settings: Any) -> Step:
        """State what its YAML may state: name, compute, resources, environment_variables, retry_settings, …"""
        self.name = settings.pop("name", self.name)
        self.settings |= settings
        return self


class PipelineFunction(FunctionComponent):
    """A function that is a pipeline."""

    @cached_property
    def document(self) -> dict[str, Any]:
        ports = ports_of(self.function)
        if ports.outputs:
            name = next(iter(ports.outputs))
            raise SpecError(
                f"function '{self.__name__}': the parameter '{name}' is an output; a pipeline returns those",
                where=self.where,
                mend=f"Leave it out, and return {{'{name}': step.outputs.…}}.",
            )
        steps, returned = self._composed(ports.inputs)
        bound = {f"{output.step.name}.{output.name}": name for name, output in returned.items()}
        if len(bound) < len(returned):
            raise self._error("returns one output of a step twice", "Return it once; many may read it.")
        jobs: dict[str, Any] = {}
        for step in steps:
            if step.name in jobs:
                raise self._error(f"has two steps '{step.name}'", "Name one of them otherwise: step.set(name=…).")
            jobs[step.name] = _step(step, self._bound_outputs(step, returned))
        outputs = {
            name: {"type": (output.step.of.document["outputs"][output.name] or {}).get("type", "uri_folder")}
            for name, output in returned.items()
        }
        document = {"type": "pipeline", **self.described(), "inputs": ports.inputs, "outputs": outputs, "jobs": jobs}
        return plain(document, self.where)

    def run(
        self,
        client: BatchEndpointsClient | None = None,
        /,
        *,
        job: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> Job:
        """Run it as a job of its own.

        Args:
            client: the server; None is the one that ``BatchEndpointsClient()`` finds.
            job: what else the job's YAML may state: name, display_name, tags, outputs, settings, ….
            **inputs: local paths, URIs and assets of data; values of literals.

        Raises:
            SpecError: an input is unknown, or the pipeline cannot run.
            InvocationError: the server does not accept this; there is no job.
        """
        if self.component and (unknown := [name for name in inputs if name not in self.component.inputs]):
            raise self._error(f"has no input '{unknown[0]}'; {nearest(unknown[0], self.component.inputs)}", "")
        given = {
            name: _value(value, self.document["inputs"][name]["type"])
            for name, value in inputs.items()
            if value is not None
        }
        document = {**(job or {}), "type": "pipeline", "component": self.document, "inputs": given}
        return _client(client).create_job(document)

    def deploy(
        self,
        endpoint: str,
        name: str = "",
        *,
        client: BatchEndpointsClient | None = None,
        set_default: bool = False,
        **deployment: Any,
    ) -> Document:
        """Create or replace a deployment of it.

        Args:
            endpoint: one that exists.
            name: of the deployment; "" is that of the pipeline, with dashes.
            set_default: make it the endpoint's default deployment.
            **deployment: what else its YAML may state: description, tags, settings, ….
        """
        assert self.component
        name = name or str(self.document["name"]).replace("_", "-")
        document = {**deployment, "type": "pipeline", "name": name, "component": self.document}
        server = _client(client)
        created = server.deployments(endpoint).create(document)
        if set_default:
            server.endpoints.update(endpoint, {"defaults": {"deployment_name": name}})
        return created

    def _composed(self, inputs: Mapping[str, Any]) -> tuple[list[Step], dict[str, StepOutput]]:
        """Its steps, and what it returns."""
        composition = _Composition()
        mark = COMPOSED.set(composition)
        try:
            returned = self.function(**{name: _input(name) for name in inputs})
        finally:
            COMPOSED.reset(mark)
        if not composition.steps:
            raise self._error("has no steps", "Call components in it.")
        for name, output in (returned or {}).items() if isinstance(returned, Mapping | None) else [("", returned)]:
            if not isinstance(output, StepOutput) or output.step not in composition.steps or not name:
                mend = "Return a dict of outputs by name: {'scores': step.outputs.rows}."
                raise self._error(f"returns {output!r}, which is no output of one of its steps by its name", mend)
        return composition.steps, dict(returned or {})

    @staticmethod
    def _bound_outputs(step: Step, returned: Mapping[str, StepOutput]) -> dict[str, str]:
        return {
            output.name: f"${{{{parent.outputs.{name}}}}}" for name, output in returned.items() if output.step is step
        }

    def _error(self, what: str, mend: str) -> SpecError:
        return SpecError(f"pipeline '{self.__name__}' {what}", where=self.where, mend=mend)


@overload
def pipeline(function: Callable[..., Any], /) -> PipelineFunction: ...
@overload
def pipeline(**settings: Unpack[OfPipeline]) -> Callable[[Callable[..., Any]], PipelineFunction]: ...
def pipeline(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a function a pipeline: its parameters are inputs, what it calls are steps, and it returns its outputs.

    Args:
        **settings: see OfPipeline.
    """
    return PipelineFunction(function, settings) if function else lambda one: PipelineFunction(one, settings)


class _Composition:
    """The steps so far."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, component: Authored, given: Mapping[str, Any]) -> Step:
        base = str(component.document.get("name") or "step")
        names = {step.name for step in self.steps}
        numbers = (f"{base}_{number}" for number in range(2, len(names) + 3))
        name = base if base not in names else next(one for one in numbers if one not in names)
        declared = component.document.get("inputs") or {}
        for port in given:
            if port not in declared:
                outputs = component.document.get("outputs") or {}
                raise SpecError(
                    f"step '{name}' has no input '{port}'; {nearest(port, declared)}",
                    where=component.where,
                    mend="Outputs are not given: read them as step.outputs.<name>." if port in outputs else "",
                )
        for port, value in given.items():
            if isinstance(value, Step):
                first = next(iter(value.of.document.get("outputs") or {}), "<name>")
                raise SpecError(
                    f"step '{name}': the input '{port}' is the whole step '{value.name}'",
                    where=component.where,
                    mend=f"Give one of its outputs, such as {value.name}.outputs.{first}.",
                )
        self.steps.append(step := Step(name, component, given))
        return step


def _input(name: str) -> Reference:
    return Reference(lambda: f"parent.inputs.{name}")


def _step(step: Step, outputs: Mapping[str, str]) -> dict[str, Any]:
    declared = step.of.document.get("inputs") or {}
    inputs = {
        name: str(value) if isinstance(value, Reference) else _bound(value, declared[name]["type"])
        for name, value in step.given.items()
        if value is not None
    }
    document = {"type": step.of.document["type"], "component": step.of.document, "inputs": inputs, "outputs": outputs}
    return {key: value for key, value in {**document, **step.settings}.items() if value != {}}


def _bound(value: Any, kind: str) -> Any:
    return value if kind in _LITERALS else _value(value, kind)


def _value(value: Any, kind: str) -> Any:
    """A value in its long form; local paths are made absolute."""
    from batch_endpoints.client.wire import is_local

    if kind in _LITERALS:
        return {"type": kind, "value": value}
    if isinstance(value, Mapping):
        return dict(value)
    path = str(value)
    return {"type": kind, "path": str(Path(path).expanduser().absolute()) if is_local(path) else path}


def _client(client: BatchEndpointsClient | None) -> BatchEndpointsClient:
    from batch_endpoints.client.sdk import BatchEndpointsClient

    return client or BatchEndpointsClient()
