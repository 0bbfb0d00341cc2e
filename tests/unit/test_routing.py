"""Which deployment gets a job."""

import pytest

from batch_endpoints.errors import InvocationError, NotFound
from batch_endpoints.planning.routing import resolve_deployment
from batch_endpoints.specs import BatchEndpoint, Defaults


def endpoint(default=""):
    return BatchEndpoint(name="heart", defaults=Defaults(deployment_name=default))


@pytest.mark.parametrize(
    ("default", "requested", "expected"),
    [
        pytest.param("v1", "", "v1", id="the default"),
        pytest.param("v1", "v2", "v2", id="the requested one wins"),
        pytest.param("", "v2", "v2", id="requested without a default"),
        pytest.param("gone", "v2", "v2", id="requested beside a default that is gone"),
    ],
)
def test_a_job_goes_to_the_requested_deployment_or_else_to_the_default(default, requested, expected):
    assert resolve_deployment(endpoint(default), ["v1", "v2"], requested) == expected


def test_an_unknown_deployment_is_named_with_those_there_are():
    with pytest.raises(NotFound) as error:
        resolve_deployment(endpoint("v1"), ["v2", "v1"], "v3")

    assert str(error.value).startswith("Deployment name v3 not found for this endpoint")
    assert "It has: v1, v2." in str(error.value)


@pytest.mark.parametrize(
    ("default", "deployments", "told"),
    [
        pytest.param("", ["v1"], "it has no default deployment", id="no default"),
        pytest.param("gone", ["v1"], "default deployment 'gone' does not exist", id="a default that is gone"),
        pytest.param("", [], "create one first", id="no deployments"),
    ],
)
def test_without_a_valid_default_the_error_is_azures(default, deployments, told):
    with pytest.raises(InvocationError) as error:
        resolve_deployment(endpoint(default), deployments)

    assert str(error.value).startswith("No valid deployments to route to.")
    assert "use a deployment specific header to route" in str(error.value)
    assert told in str(error.value)
