"""A job as its clients see it: Azure ML's shape, and what we know beyond it."""

from __future__ import annotations

from typing import Any

from batch_endpoints.specs import AnyJob, BatchJob, JobInput, JobOutput, ScoringJob, StepState


def job_answer(job: BatchJob) -> dict[str, Any]:
    """The job as plain JSON data."""
    state, spec = job.state, job.spec
    progress = state.progress
    outputs = {**spec.outputs, **job.written, **state.outputs}
    return {
        "id": f"/endpoints/{job.endpoint_name}/jobs/{job.name}" if job.endpoint_name else f"/jobs/{job.name}",
        "name": job.name,
        "type": "batchEndpoints/jobs",
        "properties": {
            "name": job.display_name or job.name,
            "status": job.status,
            "description": job.description,
            "endpointName": job.endpoint_name,
            "deploymentName": job.deployment_name,
            "provisioningState": "Succeeded",
            "interactionEndpoints": {},
            "output": {},
            "compute": {"isLocal": False, **_instances(spec)},
            "inputs": {name: _input(given) for name, given in spec.inputs.items()},
            "outputs": {name: _output(output) for name, output in outputs.items()},
            "progress": {
                "miniBatches": progress.mini_batches,
                "miniBatchesDone": progress.mini_batches_done,
                "items": progress.items,
                "itemsSucceeded": progress.items_succeeded,
                "itemsFailed": progress.items_failed,
                "itemsSkipped": progress.items_skipped,
                "rowsFailed": progress.rows_failed,
                "rows": progress.rows,
                "itemsPerSecond": progress.items_per_second,
                "etaSeconds": progress.eta_seconds,
            },
            "error": state.error.model_dump() if state.error else None,
            "notes": list(state.notes),
            "startedAt": state.started_at.isoformat() if state.started_at else None,
            "endedAt": state.ended_at.isoformat() if state.ended_at else None,
            "launches": job.launches,
            "retries": spec.retries,
            "folder": job.folder,
            "jobType": spec.type,
            "parentJobName": job.parent_job_name,
            "step": job.step,
            "steps": {path: _step(step) for path, step in state.steps.items()},
            "experimentName": job.experiment_name,
            "properties": {
                **job.properties,
                "azureml.endpointname": job.endpoint_name,
                "azureml.deploymentname": job.deployment_name,
                "runSource": "BatchDeployment",
                "runType": "HTTP",
            },
            "tags": job.tags,
        },
        "systemData": {
            "createdAt": job.created_at.isoformat(),
            "createdBy": job.created_by,
            "lastModifiedAt": job.modified_at.isoformat(),
            "lastModifiedBy": job.created_by,
        },
    }


def _instances(spec: AnyJob) -> dict[str, int]:
    return {"instanceCount": spec.deployment.resources.instance_count} if isinstance(spec, ScoringJob) else {}


def _step(step: StepState) -> dict[str, Any]:
    progress = step.progress
    return {
        "jobType": step.type,
        "status": step.status,
        "after": list(step.after),
        "attempt": step.attempt,
        "items": progress.items,
        "itemsSucceeded": progress.items_succeeded,
        "itemsFailed": progress.items_failed,
        "startedAt": step.started_at.isoformat() if step.started_at else None,
        "endedAt": step.ended_at.isoformat() if step.ended_at else None,
        "error": step.error.model_dump() if step.error else None,
        "note": step.note,
    }


def _input(given: JobInput) -> dict[str, Any]:
    if given.type == "literal":
        return {"type": "literal", "value": given.value}
    return {"type": given.type, "path": given.path}


def _output(output: JobOutput) -> dict[str, Any]:
    return {"type": output.type, "path": output.path}
