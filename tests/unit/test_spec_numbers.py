"""Numbers in specs: each has an upper bound, and beyond it is refused by its key."""

import re

import pytest

from batch_endpoints.control_plane.uploads import Upload
from batch_endpoints.errors import SpecError
from batch_endpoints.planning.overrides import effective_deployment
from batch_endpoints.specs import (
    COMPONENT,
    DEPLOYMENT,
    BatchEndpoint,
    Compute,
    Data,
    Datastore,
    Environment,
    Invocation,
    MLTable,
    Model,
    ModelDeployment,
    ScoringJob,
    check,
    load_yaml,
)

KINDS = [BatchEndpoint, Compute, Data, Datastore, Environment, Invocation, ScoringJob, MLTable, Model, Upload]
MODEL = {"name": "wine", "model": {"path": "file:///m"}}


def unbounded(schema, path=""):
    """The places in a JSON schema of numbers without an upper bound."""
    if isinstance(schema, list):
        for at, one in enumerate(schema):
            yield from unbounded(one, f"{path}.{at}")
    elif isinstance(schema, dict):
        if schema.get("type") in ("integer", "number") and not {"maximum", "exclusiveMaximum"} & set(schema):
            yield path
        for key, value in schema.items():
            yield from unbounded(value, f"{path}.{key}")


@pytest.mark.parametrize("kind", [*KINDS, DEPLOYMENT, COMPONENT], ids=lambda kind: getattr(kind, "__name__", "union"))
def test_every_number_in_a_spec_has_an_upper_bound(kind):
    schema = kind.model_json_schema() if hasattr(kind, "model_json_schema") else kind.json_schema()

    assert list(unbounded(schema)) == []


HUGE = [10**400, 2**63, 1e300]


@pytest.mark.parametrize("number", HUGE, ids=["400 digits", "above 64 bits", "a double"])
@pytest.mark.parametrize(
    "key",
    [
        "settings.retry_settings.timeout",
        "settings.retry_settings.max_retries",
        "settings.mini_batch_size",
        "settings.error_threshold",
        "settings.max_concurrency_per_instance",
        "resources.instance_count",
    ],
)
def test_a_number_beyond_its_bound_is_refused_by_its_key(key, number):
    document = {}
    at = document
    *outer, last = key.split(".")
    for name in outer:
        at = at.setdefault(name, {})
    at[last] = number

    with pytest.raises(SpecError, match=re.escape(last)):
        check(ModelDeployment, {**MODEL, **document})
    deployment, invocation = check(ModelDeployment, MODEL), document.get("settings") or document["resources"]
    with pytest.raises(SpecError):
        effective_deployment(deployment, check(Invocation, invocation))


@pytest.mark.parametrize(
    "text",
    [
        f"settings: {{retry_settings: {{timeout: {'9' * 400}}}}}",
        f"settings: {{retry_settings: {{timeout: {'9' * 5000}}}}}",
        "settings: {retry_settings: {timeout: .inf}}",
        "settings: {retry_settings: {timeout: PT" + "9" * 5000 + "S}}",
        "settings: {retry_settings: {timeout: P9999999D}}",
        f"settings: {{mini_batch_size: {'9' * 5000}MB}}",
        f"settings: {{mini_batch_size: '{'9' * 5000}'}}",
        "settings: {mini_batch_size: 9999999999999 rows}",
    ],
    ids=lambda text: re.sub(r"9{9,}", "9…9", text),
)
def test_a_number_that_is_written_at_length_is_an_error_of_the_file(tmp_path, text):
    file = tmp_path / "wine.yml"
    file.write_text(f"name: wine\nmodel: {{path: 'file:///m'}}\n{text}\n")

    with pytest.raises(SpecError):
        load_yaml(ModelDeployment, file)


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan")], ids=repr)
def test_a_literal_is_a_number_that_can_be_written(value):
    with pytest.raises(SpecError, match="value"):
        check(Invocation, {"inputs": {"x": {"type": "literal", "value": value}}})


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63), 1.7976931348623157e308, True, "1" * 500], ids=repr)
def test_a_literal_keeps_its_value(value):
    assert check(Invocation, {"inputs": {"x": {"value": value}}}).inputs["x"].value == value
