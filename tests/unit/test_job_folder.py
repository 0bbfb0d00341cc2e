import json
import pickle
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.job_plan import JobPlan, plan_job
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import JobState, Model, ModelDeployment, ScoringJob, SkippedFile
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.job_folder import JobFolder

NOW = datetime(2024, 1, 2, tzinfo=timezone.utc)
JOB = ScoringJob(name="j", deployment=ModelDeployment(name="xgb", model=Model(path="/m")), inputs={}, created_at=NOW)


@pytest.fixture
def folder(tmp_path):
    return JobFolder(Disk(tmp_path), tmp_path.as_uri() + "/")


def test_a_job_is_frozen_by_the_first_who_writes_it(folder):
    folder.write_job(JOB)
    folder.write_job(JOB.model_copy(update={"overwrite": True}))
    assert folder.job() == JOB


def test_a_folder_without_a_job_is_told(folder):
    with pytest.raises(SpecError, match=r"is not a job folder: it has no job.json"):
        folder.job()


@pytest.mark.parametrize(
    "content", [b'{"name": "j"}', b"[]", b"{", b""], ids=["a key is missing", "a list", "half", "empty"]
)
def test_a_job_that_makes_no_sense_is_told_with_its_file(folder, content):
    folder.files.replace("job.json", content)
    with pytest.raises(SpecError, match=r"job\.json"):
        folder.job()


@settings(max_examples=30)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), unique=True, max_size=60
    ),
    size=st.integers(1, 5),
)
def test_a_plan_is_read_back_as_it_was_written(tmp_path_factory, names, size):
    folder = JobFolder(Disk(tmp_path_factory.mktemp("plan")), "file:///x")
    plan = plan_job("/in put/ü", [InputFile(name) for name in names], size, 1)
    assert folder.plan() is None
    assert folder.write_plan(plan) == plan
    assert folder.plan() == plan


def test_a_plan_of_files_that_are_named_whole_is_read_back(folder):
    plan = plan_job("", [InputFile("s3://a/1.csv"), InputFile("http://h/2.csv")], 1, 1)
    assert folder.write_plan(plan) == plan
    assert JobFolder(folder.files, folder.uri).plan() == plan


def test_what_is_sent_of_a_bundle_does_not_grow_with_what_is_left_out_of_the_job(folder):
    skipped = tuple(SkippedFile(file=f"{number}.pipe", reason="a pipe") for number in range(10_000))
    plan = folder.write_plan(replace(plan_job("/a", [InputFile("1.csv")], 1, 1), skipped=skipped))
    assert plan.skipped == skipped
    assert len(pickle.dumps(plan.bundles[0])) < 2000


def test_the_first_plan_counts(folder):
    first = plan_job("/a", [InputFile("1.csv")], 1, 1)
    folder.write_plan(first)
    assert folder.write_plan(JobPlan("/b", ())) == first


def test_the_report_is_the_last_word(folder):
    assert folder.state() is None
    running = JobState(status="Running", started_at=NOW)
    folder.write_state(running)
    assert folder.state() == running
    ended = JobState(status="Completed", started_at=NOW, ended_at=NOW)
    folder.write_state(ended)
    folder.write_state(running)
    assert folder.state() == ended
    assert json.loads(folder.files.read("report.json"))["status"] == "Completed"


@pytest.mark.parametrize("content", [b"", b"{", b'{"status": "Gone"}'])
def test_a_report_that_makes_no_sense_is_as_good_as_none(folder, content):
    running = JobState(status="Running")
    folder.write_state(running)
    folder.files.replace("report.json", content)
    assert folder.state() == running
    folder.files.replace("progress.json", content)
    assert folder.state() is None


def test_asking_twice_to_cancel_is_asking_once(folder):
    assert not folder.cancel_asked
    folder.ask_to_cancel()
    folder.ask_to_cancel()
    assert folder.cancel_asked
