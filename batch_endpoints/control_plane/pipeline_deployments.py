"""Pipeline deployments: what they run, checked, registered and pinned when they are created."""

from __future__ import annotations

from batch_endpoints.control_plane.assets import Assets
from batch_endpoints.control_plane.components import (
    checked_component,
    checked_graph,
    frozen_component,
    unfrozen_component,
)
from batch_endpoints.errors import SpecError
from batch_endpoints.interfaces.records import RecordStore
from batch_endpoints.planning.pipeline.derived_component import derived_component
from batch_endpoints.specs import (
    PipelineComponent,
    PipelineComponentDeployment,
    PipelineJob,
    compute_name,
    parse_reference,
)
from batch_endpoints.specs.job_file import as_pipeline


def pinned_pipeline(
    store: RecordStore, assets: Assets, deployment: PipelineComponentDeployment
) -> PipelineComponentDeployment:
    """The deployment with a component that is checked, and pinned to a version where it has a name.

    Raises:
        NotFound: no such component, job, compute or datastore, or what they refer to.
        SpecError: with every problem of the pipeline, a line each.
    """
    settings = deployment.settings
    if settings.default_compute:
        settings = settings.model_copy(update={"default_compute": compute_name(settings.default_compute)})
        assets.get("computes", settings.default_compute)
    if settings.default_datastore:
        store.asset("datastores", settings.default_datastore.removeprefix("azureml:"))
    component = _component(store, assets, deployment)
    for step in checked_graph(assets, component).steps.values():
        if step.compute:
            assets.get("computes", compute_name(step.compute))
    kept = f"azureml:{component.name}:{component.version}" if isinstance(deployment.component, str) else component
    return deployment.model_copy(update={"settings": settings, "component": kept, "job_definition": None})


def _component(store: RecordStore, assets: Assets, deployment: PipelineComponentDeployment) -> PipelineComponent:
    """What the deployment runs, with its version where it is registered."""
    given = deployment.component
    if deployment.job_definition is not None:
        given = _of_job(store, assets, deployment.job_definition)
    if isinstance(given, PipelineComponent) and not given.name:
        return checked_component(assets, given)
    found = assets.referred("components", given) if isinstance(given, str) else None
    if isinstance(given, PipelineComponent):
        found, _ = assets.put("components", given)
    if not isinstance(found, PipelineComponent):
        kind = getattr(found, "type", "")
        raise SpecError(
            f"'component': '{given}' is a {kind} component, and a deployment runs a pipeline",
            mend="Make it a step of a pipeline component: `jobs: {main: {component: …}}`.",
        )
    return found


def _of_job(store: RecordStore, assets: Assets, definition: str | dict[str, object]) -> PipelineComponent:
    """The component derived from a job that exists, or from one that is written in place."""
    if isinstance(definition, dict):
        asked = as_pipeline(definition)
        given = (
            assets.referred("components", asked.component) if isinstance(asked.component, str) else asked.component
        )
        if not isinstance(given, PipelineComponent):
            raise SpecError(f"'job_definition.component': '{asked.component}' is no pipeline component")
        component, inputs, source = frozen_component(assets, given), asked.inputs, {}
    else:
        name = parse_reference(definition).name
        job = store.job(name).spec
        if not isinstance(job, PipelineJob):
            raise SpecError(
                f"'job_definition': job '{name}' is no pipeline job",
                mend="Name a job that `batch-endpoints job create` or a pipeline deployment has made.",
            )
        component, inputs, source = job.component, job.inputs, {"source_job": name}
    derived = unfrozen_component(assets, derived_component(component, inputs))
    return derived.model_copy(update={"name": "", "version": "", "properties": source})
