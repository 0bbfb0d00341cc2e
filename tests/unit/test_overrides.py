"""A deployment as one job wants it."""

import pytest

from batch_endpoints.errors import InvocationError, SpecError
from batch_endpoints.planning.overrides import effective_deployment, literal_variables
from batch_endpoints.specs import Invocation, JobInput, ModelDeployment, rows_file


def deployment(**settings):
    resources = {"properties": {"num_cpus": 0.5, "num_gpus": 1}}
    return ModelDeployment(
        name="v-1", endpoint_name="heart", model="azureml:heart:1", resources=resources, settings=settings
    )


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        pytest.param({"mini_batch_size": 7}, lambda d: d.settings.mini_batch_size, 7, id="mini_batch_size"),
        pytest.param({"mini_batch_size": "5 rows"}, lambda d: d.settings.mini_batch_size, "5 rows", id="rows"),
        pytest.param({"error_threshold": 0}, lambda d: d.settings.error_threshold, 0, id="error_threshold of zero"),
        pytest.param({"on_error": "Isolate"}, lambda d: d.settings.on_error, "isolate", id="on_error"),
        pytest.param(
            {"keep_failed_inputs": True}, lambda d: d.settings.keep_failed_inputs, True, id="keep_failed_inputs"
        ),
        pytest.param({"instance_count": 5}, lambda d: d.resources.instance_count, 5, id="instance_count"),
        pytest.param(
            {"resource_properties": {"num_gpus": 0.25}},
            lambda d: (d.resources.worker.num_cpus, d.resources.worker.num_gpus),
            (0.5, 0.25),
            id="one of two reservations",
        ),
        pytest.param(
            {"output_file_name": "p.jsonl"}, lambda d: d.settings.output_file_name, "p.jsonl", id="file name"
        ),
        pytest.param({"output_format": "azureml"}, lambda d: d.settings.output_format, "azureml", id="format"),
        pytest.param({"logging_level": "Debug"}, lambda d: d.settings.logging_level, "debug", id="logging_level"),
        pytest.param(
            {"max_concurrency_per_instance": 4},
            lambda d: d.settings.max_concurrency_per_instance,
            4,
            id="concurrency",
        ),
        pytest.param(
            {"retry_settings": {"timeout": "PT45S"}},
            lambda d: (d.settings.retry_settings.max_retries, d.settings.retry_settings.timeout),
            (2, 45),
            id="one of two retry settings",
        ),
    ],
)
def test_a_job_changes_one_setting_and_keeps_the_others(override, read, expected):
    before = deployment(retry_settings={"max_retries": 2, "timeout": 60}, environment_variables={"A": "1"})

    after = effective_deployment(before, Invocation.model_validate(override))

    assert read(after) == expected
    assert after.model == before.model
    assert after.settings.environment_variables == {"A": "1"}


def test_a_job_without_overrides_runs_the_deployment_as_it_is():
    before = deployment(mini_batch_size=3, output_action="summary_only")

    assert effective_deployment(before, Invocation()) == before


@pytest.mark.parametrize(
    ("override", "key"),
    [
        pytest.param({"mini_batch_size": 0}, "'mini_batch_size'", id="no files"),
        pytest.param({"mini_batch_size": "many"}, "'mini_batch_size'", id="no size"),
        pytest.param({"logging_level": "loud"}, "'logging_level'", id="no level"),
        pytest.param({"output_file_name": "a/b.csv"}, "'output_file_name'", id="a folder in the file name"),
    ],
)
def test_an_override_that_is_not_valid_is_named(override, key):
    with pytest.raises(SpecError, match=key):
        effective_deployment(deployment(), Invocation.model_validate(override))


@pytest.mark.parametrize("override", [{"output_file_name": "p.csv"}, {"output_format": "azureml"}], ids=str)
def test_an_output_file_is_refused_where_no_rows_are_kept(override):
    with pytest.raises(SpecError, match=f"{next(iter(override))} has no meaning"):
        effective_deployment(deployment(output_action="summary_only"), Invocation(**override))


def test_the_default_name_takes_the_ending_of_the_jobs_format_and_a_given_one_does_not():
    wanted = Invocation(output_format="parquet")
    settings = effective_deployment(deployment(), wanted).settings
    assert rows_file(settings.output_file_name, settings.output_format).name == "predictions.parquet"
    with pytest.raises(SpecError, match=r"the name 'predictions\.csv' says csv; change one of them"):
        effective_deployment(deployment(output_file_name="predictions.csv"), wanted)
    with pytest.raises(SpecError, match=r"the name 'predictions\.csv' says csv; change one of them"):
        effective_deployment(deployment(output_format="parquet"), Invocation(output_file_name="predictions.csv"))


def test_environment_variables_of_the_job_win_over_those_of_the_deployment():
    before = deployment(environment_variables={"A": "deployment", "B": "deployment"})

    after = effective_deployment(before, Invocation(environment_variables={"B": "job", "C": "job"}))

    assert after.settings.environment_variables == {"A": "deployment", "B": "job", "C": "job"}


@pytest.mark.parametrize(
    ("name", "value", "variable", "text"),
    [
        pytest.param("threshold", 0.5, "BATCH_INPUT_THRESHOLD", "0.5", id="a number"),
        pytest.param("learning-rate.v2", "slow", "BATCH_INPUT_LEARNING_RATE_V2", "slow", id="signs in the name"),
        pytest.param("flag", True, "BATCH_INPUT_FLAG", "true", id="a boolean"),
        pytest.param("größe", 1, "BATCH_INPUT_GR_SSE", "1", id="letters beyond ASCII"),
        pytest.param("empty", "", "BATCH_INPUT_EMPTY", "", id="an empty text"),
    ],
)
def test_literals_become_environment_variables(name, value, variable, text):
    assert literal_variables({name: JobInput(type="literal", value=value)}) == {variable: text}


def test_literals_reach_the_deployment_and_data_does_not():
    inputs = {"data": JobInput(path="file:///data"), "k": JobInput(type="literal", value=3)}

    after = effective_deployment(deployment(), Invocation(inputs=inputs))

    assert after.settings.environment_variables == {"BATCH_INPUT_K": "3"}


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        pytest.param({"a": None}, "the literal input 'a' has no value", id="no value"),
        pytest.param(
            {"a-b": 1, "a_b": 2}, "'a-b' and 'a_b' would both be BATCH_INPUT_A_B", id="one variable for two"
        ),
    ],
)
def test_literals_that_cannot_be_passed_on_are_refused(inputs, told):
    with pytest.raises(InvocationError, match=told):
        literal_variables({name: JobInput(type="literal", value=value) for name, value in inputs.items()})
