"""``resources.properties``: what a worker reserves, and what is refused by its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray._private.label_utils import validate_label_selector

from batch_endpoints.errors import SpecError
from batch_endpoints.ingress.bodies import parse_invocation
from batch_endpoints.specs import DEPLOYMENT, check
from batch_endpoints.specs.resources import WorkerResources


def deployment(**properties):
    return check(DEPLOYMENT, {"name": "xgb", "model": "m", "resources": {"properties": properties}})


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, WorkerResources()),
        (
            {"num_cpus": 0.1, "num_gpus": 0.25, "memory": "2GB"},
            WorkerResources(num_cpus=0.1, num_gpus=0.25, memory=2 << 30),
        ),
        ({"num_cpus": "4", "memory": 1000}, WorkerResources(num_cpus=4, memory=1000)),
        ({"memory": "1.5 kb"}, WorkerResources(memory=1536)),
        (
            {"label_selector": {"ray.io/market-type": "spot", "gpu": "!in(T4, A10)"}},
            WorkerResources(label_selector={"ray.io/market-type": "spot", "gpu": "!in(T4, A10)"}),
        ),
        ({"label_selector": None}, WorkerResources()),
        ({"shm_size": "2g", "AISuperComputer": {"interactive": False}}, WorkerResources()),
    ],
)
def test_azures_other_properties_are_kept_and_ours_are_read(properties, expected):
    found = deployment(**properties)
    assert found.resources.worker == expected
    assert found.resources.properties == properties


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"num_cpus": 0}, "'resources.properties.num_cpus': expected greater than 0, found 0"),
        ({"num_cpus": -1}, "'resources.properties.num_cpus': expected greater than 0, found -1"),
        ({"num_cpus": "many"}, "'resources.properties.num_cpus': expected a valid number"),
        ({"num_cpus": True}, "'resources.properties.num_cpus': expected a number, such as 0.5, found True"),
        ({"num_cpus": float("nan")}, "'resources.properties.num_cpus': expected"),
        ({"num_cpus": float("inf")}, "'resources.properties.num_cpus': expected"),
        ({"num_gpus": 1.5}, "'resources.properties.num_gpus': expected a fraction below 1, or a whole number"),
        ({"num_gpus": 0.00001}, "'resources.properties.num_gpus': expected at most four digits"),
        ({"num_gpus": None}, None),
        ({"memory": "2 apples"}, "'resources.properties.memory': expected a number of bytes, or a size such as"),
        ({"memory": 0}, "'resources.properties.memory': expected greater than 0, found 0"),
        (
            {"label_selector": "spot"},
            "label_selector': expected labels and their values, such as {",
        ),
        ({"label_selector": {"a b": "c"}}, "expected a label such as ray.io/market-type, not 'a b'"),
        ({"label_selector": {"a/b/c": "d"}}, "expected a label such as ray.io/market-type, not 'a/b/c'"),
        ({"label_selector": {"a": True}}, "expected the value of 'a' in quotes: labels are texts"),
        ({"label_selector": {"a": "in()"}}, "expected value, !value, in(a, b) or !in(a, b) for 'a'"),
        ({"label_selector": {"a": "!!b"}}, "expected value, !value, in(a, b) or !in(a, b) for 'a'"),
        ({"label_selector": {"a": "(b)"}}, "expected value, !value, in(a, b) or !in(a, b) for 'a'"),
        ({"label_selector": {"a": ""}}, "expected value, !value, in(a, b) or !in(a, b) for 'a'"),
        ({"label_selecter": {}}, "unknown key 'resources.properties.label_selecter'; did you mean 'label_selector'?"),
        ({"num_cpu": 1}, "unknown key 'resources.properties.num_cpu'; did you mean 'num_cpus'?"),
        ({"memroy": 1}, "unknown key 'resources.properties.memroy'; did you mean 'memory'?"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(properties, message):
    if message is None:
        assert deployment(**properties).resources.worker == WorkerResources()
        return
    with pytest.raises(SpecError) as refused:
        deployment(**properties)
    assert message in str(refused.value)


def test_a_job_says_so_in_its_compute():
    def body(properties):
        data = {"data": {"jobInputType": "UriFolder", "uri": "file:///data"}}
        return {"properties": {"inputData": data, "compute": {"instanceCount": 2, "properties": properties}}}

    spot = {"label_selector": {"ray.io/market-type": "spot"}}
    assert parse_invocation(body(spot)).resource_properties == spot
    found = parse_invocation(body({"num_cpus": 0.1}))
    assert (found.instance_count, found.resource_properties) == (2, {"num_cpus": 0.1})
    with pytest.raises(SpecError, match=r"resources\.properties\.num_gpus.*expected greater than or equal to 0"):
        parse_invocation(body({"num_gpus": -1}))


@given(values=st.from_regex(r"!?(in\()?[a-b!,() ._-]{0,6}\)?", fullmatch=True), key=st.text("a/.-_ ", max_size=5))
def test_a_selector_that_is_taken_here_is_taken_by_ray(values, key):
    try:
        WorkerResources(label_selector={key: values})
    except ValueError:
        return
    assert validate_label_selector({key: values}) is None
