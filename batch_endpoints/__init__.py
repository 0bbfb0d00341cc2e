"""Batch endpoints on Ray: a stable HTTP address that scores data in parallel and leaves predictions in storage.

The walk of one request, ``POST /endpoints/{endpoint}/jobs``, from top to bottom:

 1. ``ingress.app``             the token is checked; the body becomes an Invocation
 2. ``planning.routing``        the endpoint's default deployment, unless the request names one
 3. ``planning.overrides``      the deployment's settings and this job's own -> effective settings
 4. ``control_plane``           a BatchJob(NotStarted) in the records; 201 and the job go back to the client
 5. ``controller.reconcile``    admits it and launches ``python -m batch_endpoints.engine <job folder>`` as a Ray job
 6. ``engine.driver.run_job``   Preparing: the interpreter; ``storage.inputs.listing`` lists the data
 7. ``planning.job_plan``       files -> mini-batches -> bundles: the plan, stored once in the job folder
 8. ``engine.on_ray.scoring``   uncommitted bundles -> blocks -> Ray Data: map_batches over a pool of workers
 9. ``engine.worker.bundle``    one bundle; ``scoring.worker`` feeds the host process with the user's code; retries
10. ``storage.job.commits``     rows become a part, and a commit record, put-if-absent, makes it count
11. ``engine.driver.scoring_rounds``  outcomes -> progress, error threshold
12. ``storage.outputs.rows``    Finalizing: committed parts in plan order -> the named output; report; failed items
13. ``ingress.app``             GET the job: status, counts, ETA, output, first error

The names below are public; importing them imports neither Ray nor MLflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch_endpoints.client import BatchEndpointsClient, Job
    from batch_endpoints.client.authoring import (
        Input,
        Output,
        command_component,
        load_component,
        parallel_component,
        pipeline,
    )
    from batch_endpoints.errors import BatchEndpointError

_HOMES = {
    "BatchEndpointError": "batch_endpoints.errors",
    "BatchEndpointsClient": "batch_endpoints.client",
    "Input": "batch_endpoints.client.authoring",
    "Job": "batch_endpoints.client",
    "Output": "batch_endpoints.client.authoring",
    "command_component": "batch_endpoints.client.authoring",
    "load_component": "batch_endpoints.client.authoring",
    "parallel_component": "batch_endpoints.client.authoring",
    "pipeline": "batch_endpoints.client.authoring",
}

__all__ = [
    "BatchEndpointError",
    "BatchEndpointsClient",
    "Input",
    "Job",
    "Output",
    "command_component",
    "load_component",
    "parallel_component",
    "pipeline",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'batch_endpoints' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
