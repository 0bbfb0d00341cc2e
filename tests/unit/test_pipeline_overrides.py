"""Settings of one job for the steps of its pipeline."""

import pytest

from batch_endpoints.errors import InvocationError, SpecError
from batch_endpoints.planning.pipeline.pipeline_overrides import overridden_pipeline
from batch_endpoints.specs import Invocation, PipelineComponent

COMMAND = {"type": "command", "command": "true"}
PARALLEL = {"type": "parallel", "task": {"code": "file:///src", "entry_script": "score.py"}}
PIPELINE = PipelineComponent(
    jobs={
        "clean": {"component": COMMAND, "environment_variables": {"A": "1"}},
        "score": {"component": PARALLEL},
        "inner": {"component": {"type": "pipeline", "jobs": {"train": {"component": COMMAND}}}},
    }
)


def changed(**asked):
    return overridden_pipeline(PIPELINE, Invocation(**asked)).jobs


def test_what_a_job_sets_for_all_reaches_the_steps_it_has_a_meaning_for():
    jobs = changed(instance_count=4, retry_settings={"max_retries": 2}, mini_batch_size=5)
    assert jobs["score"].resources.instance_count == 4
    assert jobs["score"].mini_batch_size == 5
    assert jobs["clean"].resources is None
    assert [jobs[name].retry_settings["max_retries"] for name in ("clean", "score")] == [2, 2]
    inner = jobs["inner"].component
    assert (inner if isinstance(inner, dict) else inner.model_dump())["jobs"]["train"]["retry_settings"] == {
        "max_retries": 2
    }


def test_what_a_job_sets_for_one_step_wins_and_leaves_the_rest():
    jobs = changed(
        instance_count=4,
        jobs={"score": {"resources": {"instance_count": 9}}, "clean": {"environment_variables": {"B": "2"}}},
    )
    assert jobs["score"].resources.instance_count == 9
    assert jobs["clean"].environment_variables == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"jobs": {"scor": {}}}, "no step 'scor'; did you mean 'score'?"),
        ({"jobs": {"score": {"inputs": {}}}}, r"cannot change jobs\.score\.inputs"),
        ({"jobs": {"inner": {"jobs": {"tra": {}}}}}, r"jobs\.inner\.jobs: the pipeline has no step 'tra'"),
        ({"jobs": {"clean": {"environment_variables": {"LD_PRELOAD": "x"}}}}, "LD_PRELOAD"),
        ({"environment_variables": {"PYTHONPATH": "x"}}, "PYTHONPATH"),
        ({"output_file_name": "a.csv"}, "a pipeline has no output_file_name"),
    ],
    ids=repr,
)
def test_what_cannot_be_changed_is_refused_by_name(asked, said):
    with pytest.raises(InvocationError, match=said):
        changed(**asked)


def test_a_value_that_does_not_fit_names_its_key():
    with pytest.raises(SpecError, match="instance_count"):
        changed(jobs={"score": {"resources": {"instance_count": 0}}})
