"""The jobs of a pipeline's steps: their names, and what each of them is given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from batch_endpoints.planning.pipeline.graph import GraphStep, OfPipeline, OfStep
from batch_endpoints.planning.pipeline.output_places import file_name
from batch_endpoints.planning.pipeline.pipeline_inputs import default_input
from batch_endpoints.planning.steps.parallel_step import scoring_job
from batch_endpoints.specs import (
    CommandComponent,
    CommandJob,
    JobInput,
    JobOutput,
    ParallelStep,
    PipelineJob,
    ScoringJob,
    rows_file,
)

Outputs = Mapping[str, Mapping[str, JobOutput]]
"""Path of a step that has ended well -> its outputs."""


def child_name(parent: str, path: str) -> str:
    """The name of a step's job: ``<parent>--<8 characters>``, which no user's job can have.

    Args:
        path: of the step in its pipeline.
    """
    return f"{parent}--{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def step_inputs(step: GraphStep, given: Mapping[str, JobInput], outputs: Outputs) -> dict[str, JobInput]:
    """What a step is given: data with its URI, and literals; an optional input of the pipeline may be missing.

    Args:
        given: the inputs of the pipeline's job.
        outputs: of the steps that it reads from.
    """
    found: dict[str, JobInput] = {}
    for name, source in step.inputs.items():
        if isinstance(source, OfPipeline):
            declared = step.component.inputs[name]
            value = given.get(source.name) or default_input(declared)
            if value is None:
                continue
        elif isinstance(source, OfStep):
            value = JobInput(path=outputs[source.step][source.output].path)
        else:
            value = source
        found[name] = _as_declared(step, name, value)
    return found


def _as_declared(step: GraphStep, name: str, value: JobInput) -> JobInput:
    """With the type and the mode of the component's input."""
    mode = step.modes.get(name) or value.mode
    if value.type == "literal":
        return value.model_copy(update={"mode": mode})
    return value.model_copy(update={"mode": mode, "type": step.component.inputs[name].type})


def step_job(
    pipeline: PipelineJob, step: GraphStep, outputs: Outputs, folder: str, places: Mapping[OfStep, str]
) -> CommandJob | ScoringJob:
    """One step as a job that can run: nothing in it refers to the pipeline any more.

    Args:
        outputs: of the steps that it reads from.
        folder: the pipeline's job folder on a disk, "" where it is elsewhere; its steps may read what others wrote.
        places: where outputs go when it has ended: a file has the name that it has there from the beginning.
    """
    inputs = step_inputs(step, pipeline.inputs, outputs)
    of_step = {
        name: JobOutput(type=_kind(output.type), mode=output.mode or "") for name, output in step.outputs.items()
    }
    open_folders = None if pipeline.open_folders is None else (*pipeline.open_folders, *([folder] if folder else ()))
    variables = {**pipeline.environment_variables, **step.environment_variables}
    common: dict[str, Any] = {
        "name": child_name(pipeline.name, step.path),
        "endpoint_name": pipeline.endpoint_name,
        "compute": pipeline.computes.get(step.compute, pipeline.compute),
        "credentials": pipeline.credentials,
        "open_folders": open_folders,
        "invoker": pipeline.invoker,
        "resumption": pipeline.resumption,
        "retries": pipeline.retries,
        "created_at": pipeline.created_at,
    }
    going = {name: place for name in of_step if (place := places.get(OfStep(step.path, name)))}
    if isinstance(step.component, CommandComponent):
        return CommandJob(
            **common,
            inputs=inputs,
            outputs={
                name: output.model_copy(update={"path": going.get(name, "")}) for name, output in of_step.items()
            },
            component=step.component,
            environment_variables=variables,
            retry_settings=step.retry_settings,
            timeout=step.timeout,
        )
    job = scoring_job(common["name"], step.component, inputs=inputs, outputs=of_step, environment_variables=variables)
    rows = job.deployment.append_row_to if isinstance(job.deployment, ParallelStep) else ""
    if rows and of_step[rows].type == "uri_file" and _is_rows_file(name := file_name(going.get(rows, ""))):
        settings = job.deployment.settings.model_copy(update={"output_file_name": name})
        common["deployment"] = job.deployment.model_copy(update={"settings": settings})
    return job.model_copy(update=common)


def _is_rows_file(name: str) -> bool:
    """Does its ending say a format of rows?"""
    try:
        return bool(name and rows_file(name, None))
    except ValueError:
        return False


def _kind(type_: str) -> Literal["uri_file", "uri_folder"]:
    """A job's output is a file or a folder, whatever it stands for."""
    return "uri_file" if type_ == "uri_file" else "uri_folder"
