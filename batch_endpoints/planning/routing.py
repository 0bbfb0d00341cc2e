"""Routing: which deployment of an endpoint gets a job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batch_endpoints.errors import InvocationError, NotFound
from batch_endpoints.specs import BatchEndpoint


def resolve_deployment(endpoint: BatchEndpoint, deployments: Sequence[str], requested: str = "") -> str:
    """The deployment that a request names, or else the endpoint's default.

    Args:
        endpoint: where the job was asked for.
        deployments: names of all its deployments.
        requested: the request's own choice; "" means the default.

    Raises:
        NotFound: the requested deployment is not there.
        InvocationError: nothing requested, and no default that is there.

    The first sentences are Azure ML's: people search for them.
    """
    known = ", ".join(sorted(deployments))
    if requested:
        if found := _spelled(requested, deployments):
            return found
        raise NotFound(
            f"Deployment name {requested} not found for this endpoint",
            where=f"endpoint '{endpoint.name}'",
            mend=f"It has: {known}." if known else "It has no deployment yet: create one first.",
        )
    default = endpoint.defaults.deployment_name
    if found := _spelled(default, deployments):
        return found
    reason = f"its default deployment '{default}' does not exist" if default else "it has no default deployment"
    raise InvocationError(
        "No valid deployments to route to. Provide a valid deployment or use a deployment specific header to route.",
        where=f"endpoint '{endpoint.name}': {reason}",
        mend=f"It has: {known}. Make one the default (endpoint update --set defaults.deployment_name=…), or name it "
        "with -d or the header azureml-model-deployment."
        if known
        else "It has no deployment yet: create one first.",
    )


def _spelled(name: str, deployments: Iterable[str]) -> str:
    """The deployment of this name, whatever the case of its letters; "" for none."""
    alike = [one for one in deployments if one.lower() == name.lower()]
    return name if name in alike else min(alike, default="")
