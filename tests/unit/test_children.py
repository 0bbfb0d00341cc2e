"""The records of a pipeline's steps, made from what its driver has left in the job folder."""

from datetime import datetime, timezone

import pytest

from batch_endpoints.control_plane.artifacts import artifacts, open_artifact
from batch_endpoints.controller.children import Children, ended_steps
from batch_endpoints.errors import NotFound
from batch_endpoints.interfaces.records import Page
from batch_endpoints.planning.pipeline.step_jobs import child_name
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import (
    BatchJob,
    CommandComponent,
    CommandJob,
    JobError,
    JobState,
    PipelineComponent,
    PipelineJob,
    StepState,
)
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.job_folder import JobFolder

NOW = datetime(2026, 5, 6, tzinfo=timezone.utc)


@pytest.fixture
def store():
    return MemoryRecordStore()


@pytest.fixture
def parent(store, tmp_path):
    job = BatchJob(
        uid="u1",
        name="nightly",
        endpoint_name="wine",
        deployment_name="prepare",
        spec=PipelineJob(name="nightly", component=PipelineComponent(jobs={})),
        folder=tmp_path.as_uri(),
        status="Running",
        created_at=NOW,
        modified_at=NOW,
    )
    return store.add_job(job)


def begun(tmp_path, path, state, resumption=0):
    """What the driver has left of a step."""
    folder = JobFolder(Disk(tmp_path / "steps" / path), f"{tmp_path.as_uri()}/steps/{path}", resumption)
    component = CommandComponent(command="true")
    folder.write_job(CommandJob(name=child_name("nightly", path), component=component, resumption=resumption))
    folder.write_state(state.model_copy(update={"resumption": resumption}))


def pipeline(**steps):
    return JobState(status="Running", steps={path: StepState(type="command", status=s) for path, s in steps.items()})


def children(store):
    return {job.step: job.status for job in store.jobs(parent="nightly").items}


def test_a_step_that_has_begun_has_a_record_and_no_other_has(store, parent, tmp_path):
    begun(tmp_path, "clean", JobState(status="Running"))
    Children(store, lambda: NOW).follow(parent, pipeline(clean="Running", score="NotStarted"))
    assert children(store) == {"clean": "Running"}
    (job,) = store.jobs(parent="nightly").items
    assert (job.parent_job_name, job.endpoint_name, job.spec.type) == ("nightly", "wine", "command")
    assert job.name.startswith("nightly--")


def test_steps_are_not_among_the_jobs_of_their_endpoint(store, parent, tmp_path):
    begun(tmp_path, "clean", JobState(status="Running"))
    Children(store, lambda: NOW).follow(parent, pipeline(clean="Running"))
    assert [job.name for job in store.jobs(endpoint="wine").items] == ["nightly"]
    assert [job.name for job in store.jobs(statuses=("Running",), oldest_first=True, page=Page(top=9)).items] == [
        "nightly"
    ]


def test_what_becomes_of_a_step_comes_into_its_record_also_from_another_controller(store, parent, tmp_path):
    error = JobError(code="StepFailed", message="exit code 3")
    for status, more in (("Running", {}), ("Failed", {"ended_at": NOW, "error": error})):
        begun(tmp_path, "clean", JobState(status=status, **more))
        Children(store, lambda: NOW).follow(parent, pipeline(clean=status))
    (job,) = store.jobs(parent="nightly").items
    assert (job.status, job.state.error, job.ended) == ("Failed", error, True)


def test_a_step_of_a_job_that_was_resumed_runs_again(store, parent, tmp_path):
    keeper = Children(store, lambda: NOW)
    begun(tmp_path, "clean", JobState(status="Failed", ended_at=NOW))
    keeper.follow(parent, pipeline(clean="Failed"))
    begun(tmp_path, "clean", JobState(status="Running"), resumption=1)
    keeper.follow(parent, pipeline(clean="Running"))
    assert children(store) == {"clean": "Running"}


def test_a_step_that_was_left_out_has_no_record(store, parent):
    Children(store, lambda: NOW).follow(parent, pipeline(score="Canceled"))
    assert children(store) == {}


def test_what_ran_when_its_job_was_ended_from_outside_ended_too(store, parent, tmp_path):
    begun(tmp_path, "clean", JobState(status="Running"))
    state = pipeline(clean="Running", score="NotStarted")
    ended = state.model_copy(update={"steps": ended_steps(state, "Canceled", NOW)})
    assert ended.steps["score"].status == "NotStarted"
    Children(store, lambda: NOW).follow(parent, ended)
    assert children(store) == {"clean": "Canceled"}
    assert store.jobs(parent="nightly").items[0].state.ended_at == NOW


def test_a_step_was_made_when_it_began_and_its_pipeline_has_its_log_and_report(store, parent, tmp_path):
    began = datetime(2026, 5, 5, tzinfo=timezone.utc)
    begun(tmp_path, "clean", JobState(status="Completed", started_at=began, ended_at=NOW))
    (tmp_path / "steps/clean/logs").mkdir()
    (tmp_path / "steps/clean/logs/attempt-1.log").write_text("hello\n")
    state = pipeline(clean="Completed")
    Children(store, lambda: NOW).follow(parent, state)
    (job,) = store.jobs(parent="nightly").items
    assert job.created_at == began
    whole = parent.replaced(state=state)
    assert artifacts(whole) == ["steps/clean/report.json", "steps/clean/logs/attempt-1.log"]
    assert open_artifact(whole, "steps/clean/logs/attempt-1.log").read_text() == "hello\n"
    with pytest.raises(NotFound, match=r"It has: steps/clean/report.json"):
        open_artifact(whole, "steps/clean/job.json")
