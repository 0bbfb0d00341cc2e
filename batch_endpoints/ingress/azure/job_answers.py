"""Jobs as Azure's clients see them: a pipeline job, and the runs of its steps.

On Azure a batch job is always a pipeline job; one of a model deployment has one step, ``batchscoring``. That step has
no record of its own here: it is the job itself, under another name.
"""

from __future__ import annotations

from typing import Any

from batch_endpoints.ingress.azure.assets import ARCHIVED, is_archived
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import present, resource
from batch_endpoints.specs import BatchJob, JobOutput, ScoringJob

SCORING = "batchscoring"
_STEP = f"--{SCORING}"  # '--' is in no name that a client may give a job


def invoked_answer(job: BatchJob, workspace: str) -> dict[str, Any]:
    """A job as the answer to an invocation, and in the list of an endpoint's jobs."""
    properties = {
        "name": job.display_name or job.name,
        "status": job.status,
        "provisioningState": "Succeeded",
        "interactionEndpoints": {},
        "output": {},
        "compute": {"isLocal": False},
        "properties": _properties(job),
        "tags": job_tags(job),
    }
    id = f"{workspace}/batchEndpoints/{job.endpoint_name}/jobs/{job.name}"
    return resource(id, job.name, "batchEndpoints/jobs", properties, systemData=_system_data(job))


def job_resource(job: BatchJob, facade: Facade, workspace: str, base: str) -> dict[str, Any]:
    """A job as ``jobs.get`` and ``jobs.list`` have it."""
    outputs = {
        # a folder that is named default would let the client list it with the key of an account
        name: {"jobOutputType": output.type, "uri": _output_uri(job, name, output, facade, workspace)}
        for name, output in job_outputs(job).items()
        if name != "default"
    }
    properties = {
        "jobType": "Pipeline",
        "displayName": job.display_name or job.name,
        "description": job.description or None,
        "status": job.status,
        "experimentName": job.experiment_name or job.endpoint_name,
        "services": {"Studio": {"jobServiceType": "Studio", "endpoint": f"{base}/jobs/{job.name}"}},
        "tags": job_tags(job),
        "properties": _properties(job),
        "inputs": _inputs(job, facade, workspace),
        "outputs": outputs,
        "settings": {},
        "jobs": {},
        "isArchived": is_archived(job.properties),
    }
    return resource(
        f"{workspace}/jobs/{job.name}", job.name, "jobs", present(properties), systemData=_system_data(job)
    )


def child_resource(name: str, workspace: str) -> dict[str, Any]:
    """A step as ``jobs.get`` has it: without properties, so that the client asks the run history instead."""
    id = f"{workspace}/jobs/{name}"
    return {"id": id, "name": name, "type": "Microsoft.MachineLearningServices/workspaces/jobs"}


def child_name(job: BatchJob) -> str:
    """The name of a model job's only step."""
    return f"{job.name}{_STEP}"


def parent_of(name: str) -> str:
    """The job whose step this is; "" for a name that is no model job's step."""
    return name.removesuffix(_STEP) if name.endswith(_STEP) else ""


def run(job: BatchJob, *, as_step: bool, old_types: bool) -> dict[str, Any]:
    """A job, or its only step, as the run history has it.

    Args:
        old_types: spell the types of outputs as older clients look for them.
    """
    state = job.state
    parent = job.name if as_step else job.parent_job_name
    return {
        "runId": child_name(job) if as_step else job.name,
        "rootRunId": job.parent_job_name or job.name,
        "parentRunId": parent or None,
        "status": job.status,
        "displayName": SCORING if as_step else job.step or job.display_name or job.name,
        "description": job.description,
        "experimentId": job.experiment_name or job.endpoint_name,
        "experimentName": job.experiment_name or job.endpoint_name,
        "runType": "azureml.StepRun" if parent else "azureml.PipelineRun",
        "createdUtc": job.created_at.isoformat(),
        "startTimeUtc": state.started_at.isoformat() if state.started_at else None,
        "endTimeUtc": state.ended_at.isoformat() if state.ended_at else None,
        "tags": job_tags(job),
        "properties": _properties(job),
        "createdBy": {"userName": job.created_by},
        "hidden": is_archived(job.properties),
        "inputs": {},
        "outputs": {
            name: {"assetId": output_asset(job.name, name), "type": _type(output.type, old_types)}
            for name, output in job_outputs(job).items()
        },
    }


def output_asset(job: str, output: str) -> str:
    """What stands for an output until the client asks where it is."""
    return f"azureml://jobs/{job}/outputs/{output}"


def job_tags(job: BatchJob) -> dict[str, str]:
    """With those by which the client knows a job of an endpoint, and that its outputs have names."""
    known = {
        "azureml.batchrun": "true",
        "azureml.jobtype": "azureml.pipelinejob",
        "azureml.deploymentname": job.deployment_name,
    }
    return {**job.tags, **known}


def job_outputs(job: BatchJob) -> dict[str, JobOutput]:
    """What a job writes, or has written."""
    return {**job.spec.outputs, **job.written, **job.state.outputs}


def own_tags(tags: dict[str, Any]) -> dict[str, str]:
    """The tags of a person, without those of ``job_tags``."""
    own = ("azureml.batchrun", "azureml.jobtype", "azureml.deploymentname")
    return {str(key): str(value) for key, value in tags.items() if key not in own}


def _output_uri(job: BatchJob, name: str, output: JobOutput, facade: Facade, workspace: str) -> str:
    asked = job.spec.outputs.get(name)
    if asked and asked.path and not asked.path.startswith("file:"):
        return facade.theirs(asked.path, workspace)
    return facade.output_uri(job.name, name, workspace)


def _inputs(job: BatchJob, facade: Facade, workspace: str) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for name, given in job.spec.inputs.items():
        if given.type == "literal":
            inputs[name] = {"jobInputType": "literal", "value": str(given.value)}
        else:
            inputs[name] = {"jobInputType": given.type, "uri": facade.theirs(given.path, workspace)}
    return inputs


def _properties(job: BatchJob) -> dict[str, str]:
    kept = {key: value for key, value in job.properties.items() if key != ARCHIVED}
    return {
        **kept,
        "azureml.endpointname": job.endpoint_name,
        "azureml.deploymentname": job.deployment_name,
        "runSource": "BatchDeployment",
        "runType": "HTTP",
    }


def _type(kind: str, old: bool) -> str:
    return {"uri_folder": "UriFolder", "uri_file": "UriFile"}.get(kind, kind) if old else kind


def _system_data(job: BatchJob) -> dict[str, str]:
    return {
        "createdAt": job.created_at.isoformat(),
        "createdBy": job.created_by,
        "createdByType": "User",
        "lastModifiedAt": job.modified_at.isoformat(),
        "lastModifiedBy": job.created_by,
    }


def has_step(job: BatchJob) -> bool:
    """Is it shown as a pipeline with one step?"""
    return isinstance(job.spec, ScoringJob) and not job.parent_job_name
