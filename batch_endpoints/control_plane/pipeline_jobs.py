"""Jobs of pipelines: of a deployment behind an endpoint, or by themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from batch_endpoints.control_plane.assets import Assets
from batch_endpoints.control_plane.components import component_uris, frozen_component
from batch_endpoints.control_plane.job_parts import located_input, placed_output
from batch_endpoints.errors import InvocationError
from batch_endpoints.planning.pipeline.derived_component import with_types_of_ports
from batch_endpoints.planning.pipeline.graph import build_graph
from batch_endpoints.planning.pipeline.output_places import all_places, check_places_differ, with_datastore, with_name
from batch_endpoints.planning.pipeline.pipeline_inputs import pipeline_inputs, pipeline_outputs
from batch_endpoints.planning.pipeline.pipeline_overrides import overridden_pipeline
from batch_endpoints.specs import (
    DATA_TYPES,
    Compute,
    Invocation,
    PipelineComponent,
    PipelineComponentDeployment,
    PipelineJob,
    PipelineSettings,
    ScoringJob,
)
from batch_endpoints.specs.job_file import as_pipeline
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.outputs.named_output import named_output
from batch_endpoints.storage.outputs.pipeline_outputs import check_free


class Asked(NamedTuple):
    """A pipeline that is to be run, and how.

    Args:
        component: as it is registered, or in place.
        takes_types_of_ports: its inputs have the types of what reads them; see ``with_types_of_ports``.
    """

    component: PipelineComponent
    settings: PipelineSettings
    invocation: Invocation
    takes_types_of_ports: bool = False


class PipelineJobs:
    """Makes the frozen jobs of pipelines; everything that can be known to fail fails here."""

    def __init__(self, assets: Assets, check_input: Callable[[str, str, Access], None], reuse_root: str) -> None:
        self._assets, self._check_input, self._reuse_root = assets, check_input, reuse_root

    def frozen(self, asked: Asked, name: str, endpoint: str, invoker: str, now: datetime) -> PipelineJob:
        """The job with all that it refers to in it.

        Raises:
            InvocationError: an input, output or override that does not fit.
            SpecError: the graph is not one that can be run.
            NotFound: what it refers to is not there.
        """
        invocation = asked.invocation
        component = frozen_component(self._assets, asked.component, asked.settings.default_datastore)
        if asked.takes_types_of_ports:
            component = with_types_of_ports(component)
        component = overridden_pipeline(component, invocation)
        given = pipeline_inputs(component, invocation.inputs)
        inputs = {
            name: value if value.type == "literal" else located_input(self._assets, name, value)
            for name, value in given.items()
        }

        def place(path: str) -> str:
            return with_name(with_datastore(path, asked.settings.default_datastore), name)

        outputs = {
            port: placed_output(self._assets, port, output.model_copy(update={"path": place(output.path)}))
            for port, output in pipeline_outputs(component, invocation.outputs).items()
        }
        graph = build_graph(component)
        compute = self._compute(invocation.compute or asked.settings.default_compute)
        stated = {step.compute for step in graph.steps.values() if step.compute}
        computes = {each: self._compute(each) for each in sorted(stated)}
        data = [value for value in inputs.values() if value.type != "literal"]
        places = (*(value.path for value in data), *(output.path for output in outputs.values()))
        access = self._assets.places.access([*places, *component_uris(component)])
        for value in data:
            self._check_input(value.path, value.type if value.type in DATA_TYPES else "uri_folder", access)
        settings = asked.settings
        if invocation.force_rerun is not None:
            settings = settings.model_copy(update={"force_rerun": invocation.force_rerun})
        job = PipelineJob(
            name=name,
            endpoint_name=endpoint,
            component=component,
            settings=settings,
            environment_variables={**settings.environment_variables, **invocation.environment_variables},
            compute=compute,
            computes=computes,
            inputs=inputs,
            outputs=outputs,
            credentials=dict(access.credentials),
            open_folders=access.folders,
            overwrite=invocation.overwrite,
            reuse_folder=f"{self._reuse_root}/{hashlib.sha256(invoker.encode()).hexdigest()[:32]}",
            invoker=invoker,
            created_at=now,
        )
        check_places_differ(all_places(graph, job))
        return job

    def _compute(self, name: str) -> Compute:
        compute = self._assets.get("computes", name.removeprefix("azureml:") or "local")
        assert isinstance(compute, Compute)
        return compute


def asked_by_file(assets: Assets, document: dict[str, Any]) -> Asked:
    """What a job's file asks for: a pipeline, or a command as a pipeline of one step.

    Raises:
        SpecError: it is no such file.
        NotFound: it refers to a component that is not there.
    """
    file = as_pipeline(document)
    component = assets.referred("components", file.component) if isinstance(file.component, str) else file.component
    if not isinstance(component, PipelineComponent):
        raise InvocationError(f"'{file.component}' is no pipeline, so it cannot be a job by itself")
    invocation = Invocation(
        inputs=file.inputs,
        outputs=file.outputs,
        name=file.name,
        display_name=file.display_name,
        description=file.description,
        experiment_name=file.experiment_name,
        tags=dict(file.tags),
        properties=dict(file.properties),
        environment_variables=dict(file.environment_variables),
    )
    return Asked(component, file.settings, invocation, takes_types_of_ports=file.in_place)


def deployed_component(assets: Assets, deployment: PipelineComponentDeployment) -> PipelineComponent:
    """What a pipeline deployment runs, as it is registered or in place."""
    component = deployment.component
    if isinstance(component, str):
        found = assets.referred("components", component)
        if not isinstance(found, PipelineComponent):
            raise InvocationError(f"deployment '{deployment.name}' runs '{component}', which is no pipeline")
        return found
    if component is None:
        raise InvocationError(f"deployment '{deployment.name}' has no component")
    return component


def check_outputs_free(job: ScoringJob | PipelineJob, folder: str) -> None:
    """Raises Conflict where an output would replace what is there.

    Args:
        folder: URI of the folder that the job will have.
    """
    if isinstance(job, ScoringJob):
        named_output(job, folder).check_free()
    else:
        check_free(job, build_graph(job.component))
