"""``--set``, ``--add`` and ``--remove``."""

import click
import pytest

from batch_endpoints.cli.changes import assignments, changed, job_settings
from batch_endpoints.client.records import merge_patch, merged


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("a.b=c", "a.b", "c"),
        ("a=b=c", "a", "b=c"),
        ("a=", "a", ""),
        ("version=1", "version", "1"),
        ('tags={"x": 1}', "tags", {"x": 1}),
        ("list=[1, 2]", "list", [1, 2]),
        ("glob=[ab].csv", "glob", "[ab].csv"),
        ("inputs.x.path=azureml:heart@latest", "inputs.x.path", "azureml:heart@latest"),
    ],
)
def test_set_takes_text_and_json(pair, key, value):
    assert assignments([pair]) == {key: value}


@pytest.mark.parametrize(
    ("pair", "key"),
    [
        ("error_threshold=5", "error_threshold"),
        ("settings.error_threshold=5", "error_threshold"),
        ("settings.retry_settings.timeout=5", "retry_settings.timeout"),
        ("compute.instance_count=5", "instance_count"),
        ("resources.instance_count=5", "instance_count"),
        ("resources.properties.num_cpus=5", "resource_properties.num_cpus"),
        ("compute.properties.memory=5", "resource_properties.memory"),
    ],
)
def test_a_job_takes_its_settings_by_the_names_that_a_deployment_has(pair, key):
    assert job_settings([pair]) == {key: "5"}


@pytest.mark.parametrize("pair", ["a", "=b", ".=c"])
def test_set_without_key_or_value_says_so(pair):
    with pytest.raises(click.UsageError, match="key=value"):
        assignments([pair])


def test_a_document_is_changed_and_the_original_is_not():
    before = {"tags": {"a": "1", "b": "2"}, "list": [1, 2, 3], "description": "x"}
    after = changed(before, ["tags.c=3", "new.deep=4"], ["list", "4", "5"], ["tags.a", "list", "0", "description"])
    assert after == {"tags": {"b": "2", "c": "3"}, "list": [2, 3, "4", "5"], "new": {"deep": "4"}}
    assert before["tags"] == {"a": "1", "b": "2"}
    assert merged(before, merge_patch(before, after)) == after


def test_add_takes_key_value_too():
    assert changed({}, [], ["tags.a=1"], []) == {"tags": {"a": "1"}}


@pytest.mark.parametrize(
    ("add", "remove", "told"),
    [
        ([], ["tags.z"], "no 'tags.z'"),
        ([], ["z.z"], "no 'z.z'"),
        ([], ["list", "9"], "no entry 9"),
        (["tags", "x"], [], "not a list"),
    ],
)
def test_changes_that_cannot_be_are_usage_errors(add, remove, told):
    with pytest.raises(click.UsageError, match=told):
        changed({"tags": {"a": "1"}, "list": [1]}, [], add, remove)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_a_merge_patch_says_only_what_changed(before, after, patch):
    assert merge_patch(before, after) == patch
