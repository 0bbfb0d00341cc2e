"""A parallel component as the job that the engine runs."""

import pytest

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.steps.parallel_step import scoring_job, step_problems
from batch_endpoints.specs import JOB, JobInput, JobOutput, ParallelComponent, ParallelStep

COMPONENT = {
    "type": "parallel",
    "name": "batch_score",
    "inputs": {"job_data_path": {"type": "uri_folder"}, "score_model": {"type": "uri_folder"}},
    "outputs": {"job_output_file": {"type": "uri_file"}},
    "mini_batch_size": "5",
    "resources": {"instance_count": 2, "properties": {"num_cpus": 0.5}},
    "mini_batch_error_threshold": 5,
    "logging_level": "DEBUG",
    "input_data": "${{inputs.job_data_path}}",
    "max_concurrency_per_instance": 2,
    "retry_settings": {"max_retries": 2, "timeout": 90},
    "task": {
        "type": "run_function",
        "code": "file:///registered/script",
        "entry_script": "digit_identification.py",
        "program_arguments": "--model ${{inputs.score_model}}",
        "append_row_to": "${{outputs.job_output_file}}",
    },
}
INPUTS = {"job_data_path": JobInput(path="file:///images"), "score_model": JobInput(path="file:///model")}


def component(changes):
    changes = dict(changes)
    task = {**COMPONENT["task"], **changes.pop("task", {})}
    return ParallelComponent.model_validate({**COMPONENT, **changes, "task": task})


def job(changes, inputs=INPUTS, outputs=None, variables=None):
    return scoring_job(
        "p--1", component(changes), inputs=inputs, outputs=outputs or {}, environment_variables=variables
    )


def test_azures_example_becomes_a_scoring_job():
    outputs = {"job_output_file": JobOutput(type="uri_file", path="s3://b/p/aggregated_returns.csv")}

    made = job({}, outputs=outputs, variables={"AZUREML_PARALLEL_EXAMPLE": "3a_yaml"})

    step, settings = made.deployment, made.deployment.settings
    assert isinstance(step, ParallelStep)
    assert (step.input_data, step.append_row_to, step.model) == ("job_data_path", "job_output_file", None)
    assert step.program_arguments == "--model ${{inputs.score_model}}"
    assert step.code_configuration.code == "file:///registered/script"
    assert step.code_configuration.scoring_script == "digit_identification.py"
    assert (step.resources.instance_count, step.resources.worker.num_cpus) == (2, 0.5)
    assert (settings.mini_batch_size, settings.max_concurrency_per_instance) == (5, 2)
    assert (settings.retry_settings.max_retries, settings.retry_settings.timeout) == (2, 90)
    assert (settings.error_threshold, step.mini_batch_error_threshold) == (-1, 5)
    assert (settings.output_action, settings.logging_level) == ("append_row", "debug")
    assert settings.environment_variables == {"AZUREML_PARALLEL_EXAMPLE": "3a_yaml"}
    assert (made.inputs, made.outputs) == (INPUTS, outputs)
    assert JOB.validate_json(made.model_dump_json(exclude_none=True)) == made  # as a job folder keeps it


def test_a_step_has_azures_defaults():
    plain = {key: COMPONENT[key] for key in ("type", "inputs", "outputs", "input_data", "task")}
    made = scoring_job("p--1", ParallelComponent.model_validate(plain), inputs=INPUTS, outputs={})

    settings = made.deployment.settings
    assert (settings.mini_batch_size, settings.max_concurrency_per_instance) == (1, 1)
    assert (settings.retry_settings.max_retries, settings.retry_settings.timeout) == (3, 60)
    assert (settings.error_threshold, made.deployment.mini_batch_error_threshold) == (-1, -1)
    assert made.outputs == {"job_output_file": JobOutput(type="uri_file")}


def test_without_append_row_to_no_rows_are_kept():
    made = job({"task": {"append_row_to": ""}, "outputs": {"files": {"type": "uri_folder"}}})
    assert (made.deployment.append_row_to, made.deployment.settings.output_action) == ("", "summary_only")


@pytest.mark.parametrize(
    ("declared", "value", "arrives"),
    [
        ("string", 7, "7"),
        ("string", "007", "007"),
        ("integer", 7, 7),
        ("number", 0.5, 0.5),
        ("boolean", False, False),
    ],
)
def test_literals_have_the_type_that_is_declared(declared, value, arrives):
    inputs = {**INPUTS, "x": JobInput(type="literal", value=value)}
    made = scoring_job(
        "p--1", component({"inputs": {**COMPONENT["inputs"], "x": {"type": declared}}}), inputs=inputs, outputs={}
    )
    assert made.inputs["x"].value == arrives
    assert type(made.inputs["x"].value) is type(arrives)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"task": {"type": "model"}}, "task.type 'model' is not supported; use run_function"),
        ({"task": {"entry_script": ""}}, "task.entry_script is missing"),
        ({"input_data": ""}, "input_data is ''; expected one input"),
        ({"input_data": "${{inputs.job_data}}"}, "did you mean 'job_data_path'?"),
        ({"inputs": {"job_data_path": {"type": "string"}, "score_model": {"type": "string"}}}, "is of type string"),
        ({"task": {"append_row_to": "rows.csv"}}, "task.append_row_to is 'rows.csv'; expected one output"),
        ({"task": {"append_row_to": "${{outputs.job_output}}"}}, "did you mean 'job_output_file'?"),
        ({"task": {"program_arguments": "${{inputs.scoremodel}}"}}, "did you mean 'score_model'?"),
        ({"task": {"program_arguments": "'x"}}, "cannot be split into words"),
        ({"task": {"append_row_to": ""}}, "'job_output_file' is a uri_file, which many mini-batches would write"),
        (
            {"retry_settings": {"max_retrys": 2}},
            "unknown key 'retry_settings.max_retrys'; did you mean 'max_retries'?",
        ),
        ({"mini_batch_size": "many"}, "mini_batch_size"),
        ({"logging_level": "loud"}, "logging_level"),
    ],
)
def test_a_component_that_cannot_run_says_why(changes, problem):
    found = step_problems(component(changes))
    assert len(found) == 1
    assert problem in found[0]
    with pytest.raises(SpecError, match="parallel component 'batch_score': "):
        job(changes)


def test_inputs_that_are_needed_and_not_given_are_an_error():
    with pytest.raises(SpecError) as error:
        job({}, inputs={})
    assert "input_data is ${{inputs.job_data_path}}, which is not given" in str(error.value)
    assert "refers to ${{inputs.score_model}}, which has no value" in str(error.value)


def test_azures_example_has_no_problems():
    assert step_problems(component({})) == []
