"""Inputs, outputs and job folders in a store, by the engine's command, by a request, and by the example."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import s3_server
from faulty_proxy import FaultyProxy
from job_folders import ECHO, Job
from parallel_steps import Step
from s3_server import BUCKET

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.errors import Conflict
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import (
    BatchEndpoint,
    CodeConfiguration,
    Credentials,
    Datastore,
    Invocation,
    JobInput,
    JobOutput,
    Model,
    ModelDeployment,
    ScoringJob,
    load_yaml,
)
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.files.s3 import S3Client
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.job.logs import merged_logs
from batch_endpoints.storage.outputs.downloads import open_output_file, output_files

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def lake(s3, s3_url, monkeypatch):
    """The store, where only a datastore's keys are known; a proxy that sees whose keys are used."""
    with FaultyProxy(s3_url, lambda method, path: "") as proxy:
        s3_server.use_store(monkeypatch, proxy.url)
        monkeypatch.setenv("LAKE_KEY_ID", "the-key-of-the-lake")
        monkeypatch.setenv("LAKE_KEY", "hush-hush")
        yield proxy


def put(s3, *keys):
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())


def text_of(s3, key):
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()


def test_a_request_reaches_into_a_datastore_with_references_to_its_keys(lake, s3, tmp_path):
    put(s3, "in/1.txt", "in/2.txt")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(ECHO)
    (tmp_path / "model.bin").write_bytes(b"m")
    plane = ControlPlane(MemoryRecordStore(), jobs_root="s3://lake/jobs", uploads_root=tmp_path / "uploads")
    keys = Credentials(access_key_id="env:LAKE_KEY_ID", secret_access_key="env:LAKE_KEY")
    plane.assets.put("datastores", Datastore(name="lake", type="uri", uri="s3://lake", credentials=keys))
    plane.endpoints.put(BatchEndpoint(name="echo"))
    plane.deployments.put(
        ModelDeployment(
            name="v-1",
            endpoint_name="echo",
            model=Model(path=str(tmp_path / "model.bin")),
            code_configuration=CodeConfiguration(code=str(tmp_path / "code"), scoring_script="score.py"),
        )
    )
    plane.endpoints.patch("echo", {"defaults": {"deployment_name": "v-1"}})
    invocation = Invocation(
        inputs={"data": JobInput(path="azureml://datastores/lake/paths/in")},
        outputs={"score": JobOutput(path="azureml://datastores/lake/paths/out")},
    )

    job = plane.jobs.invoke("echo", invocation)

    assert job.folder == f"s3://lake/jobs/{job.uid}"
    assert job.spec.credentials == {"s3://lake": keys}
    assert lake.keys == {"the-key-of-the-lake"}  # the data
    folder = JobFolder(writable_place(job.folder), job.folder)
    folder.write_job(job.spec)
    assert lake.keys == {"the-key-of-the-lake", "test"}  # … and the job folder
    state = run_job(folder, LocalRunner)
    assert state.status == "Completed", state.error
    assert "1.txt" in text_of(s3, "out/predictions.csv")
    assert [file.path for file in output_files("s3://lake/out", Access.of(job.spec))] == ["predictions.csv"]
    with open_output_file("s3://lake/out", "predictions.csv", Access.of(job.spec)) as file:
        assert b"2.txt" in file.read()
    for name in folder.files.names(""):
        assert b"hush-hush" not in folder.files.read(name), name
    with pytest.raises(Conflict, match=r"the output 's3://lake/out/predictions.csv' exists already"):
        plane.jobs.invoke("echo", invocation)


def test_the_example_reads_from_and_writes_to_a_bucket(lake, s3, tmp_path, monkeypatch):
    shutil.copytree(EXAMPLES / "digits", tmp_path / "digits", ignore=shutil.ignore_patterns("data", "model"))
    shutil.copytree(EXAMPLES / "s3", tmp_path / "s3")
    prepare = [sys.executable, "digits/prepare.py", "digits", "--files", "12"]
    subprocess.run(prepare, cwd=tmp_path, check=True)
    for image in (tmp_path / "digits" / "data").iterdir():
        s3.upload_file(str(image), BUCKET, f"digits/images/{image.name}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)

    engine([str(tmp_path / "s3")])

    rows = list(csv.DictReader(io.StringIO(text_of(s3, "digits/scored/predictions.csv"))))
    assert len(rows) == 12
    assert lake.keys == {"the-key-of-the-lake"}
    stored = [path for path in (tmp_path / "s3").rglob("*") if path.is_file()]
    assert not [path for path in stored if b"hush-hush" in path.read_bytes()]


def test_the_example_for_a_server_becomes_a_job_whose_script_sees_no_keys(lake, s3, tmp_path):
    put(s3, "digits/images/1.png")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(ECHO + "print(dict(os.environ))\n")
    (tmp_path / "model.bin").write_bytes(b"m")
    plane = ControlPlane(MemoryRecordStore(), jobs_root=tmp_path / "jobs", uploads_root=tmp_path / "uploads")
    plane.assets.put("datastores", load_yaml(Datastore, EXAMPLES / "s3" / "datastore.yml"))
    plane.endpoints.put(load_yaml(BatchEndpoint, EXAMPLES / "digits" / "endpoint.yml"))
    own = {"model": {"path": str(tmp_path / "model.bin")}, "code_configuration.code": str(tmp_path / "code")}
    plane.deployments.put(load_yaml(ModelDeployment, EXAMPLES / "digits" / "deployment.yml", own))
    plane.endpoints.patch("digits", {"defaults": {"deployment_name": "nearest"}})
    invocation = load_yaml(Invocation, EXAMPLES / "s3" / "invocation.yml")

    job = plane.jobs.invoke(invocation.endpoint, invocation)

    assert job.spec.inputs["images"].path == "s3://lake/digits/images"
    assert job.spec.outputs["score"].path == "s3://lake/digits/scored/predictions.csv"
    folder = JobFolder(writable_place(job.folder), job.folder)
    folder.write_job(job.spec)
    state = run_job(folder, LocalRunner)
    assert state.status == "Completed", state.error
    assert "1.png" in text_of(s3, "digits/scored/predictions.csv")
    assert lake.keys == {"the-key-of-the-lake"}
    printed = b"".join(merged_logs(job.folder)).decode()
    assert "AZUREML_MODEL_DIR" in printed
    assert "hush-hush" not in printed
    assert "LAKE_KEY" not in printed


def test_the_engine_takes_a_job_folder_in_a_store(lake, s3, tmp_path):
    put(s3, "in/1.txt", "models/m", "code/score.py")
    s3.put_object(Bucket=BUCKET, Key="code/score.py", Body=(ECHO + "print('loaded')\n").encode())
    s3.put_object(
        Bucket=BUCKET,
        Key="jobs/one/job.json",
        Body=b"""{"name": "one",
        "deployment": {"name": "echo",
                       "model": {"name": "m", "version": "1", "path": "s3://lake/models/m"},
                       "code_configuration": {"code": "s3://lake/code", "scoring_script": "score.py"}},
        "inputs": {"data": {"type": "uri_folder", "path": "s3://lake/in"}}}""",
    )
    s3.put_object(Bucket=BUCKET, Key="jobs/one/logs/driver.log", Body=b"an earlier driver\n")

    engine(["s3://lake/jobs/one", "--local"])

    assert "1.txt" in text_of(s3, "jobs/one/named-outputs/score/predictions.csv")
    log = b"".join(merged_logs("s3://lake/jobs/one")).decode()
    assert log.startswith("driver   | an earlier driver\n")
    assert "job 'one' has ended: Completed" in log
    worker, _, printed = next(line for line in log.splitlines() if "loaded" in line).partition(" | ")
    assert printed == "loaded"
    alone = b"".join(merged_logs("s3://lake/jobs/one", worker=worker)).decode()
    assert "INFO loads score.py\nloaded\n" in alone
    assert "has ended" not in alone


def test_failed_items_are_tried_again_in_a_store(lake, s3, tmp_path):
    put(s3, "in/1.txt", "in/2.txt", "in/3.txt", "models/m")
    (tmp_path / "score.py").write_text(
        f"""
import os
def run(mini_batch):
    if mini_batch[0].endswith("2.txt") and not os.path.exists({str(tmp_path / "up")!r}):
        raise ConnectionError("down")
    return [os.path.basename(file) for file in mini_batch]
"""
    )
    job = {
        "name": "one",
        "deployment": {
            "name": "echo",
            "model": {"name": "m", "version": "1", "path": "s3://lake/models/m"},
            "code_configuration": {"code": tmp_path.as_uri(), "scoring_script": "score.py"},
            "settings": {"mini_batch_size": 1, "retry_settings": {"max_retries": 0}},
        },
        "inputs": {"data": {"type": "uri_folder", "path": "s3://lake/in"}},
        "outputs": {"score": {"path": "s3://lake/out"}},
    }
    folder = JobFolder(writable_place("s3://lake/jobs/one"), "s3://lake/jobs/one")
    folder.write_job(ScoringJob.model_validate(job))
    assert run_job(folder, LocalRunner).progress.items_failed == 1
    assert "2.txt" not in text_of(s3, "out/predictions.csv")

    (tmp_path / "up").touch()
    folder.write_job(ScoringJob.model_validate({**job, "resumption": 1, "retries": 1}))
    state = run_job(folder, LocalRunner)

    assert (state.status, state.progress.items_succeeded) == ("Completed", 3)
    written = csv.DictReader(io.StringIO(text_of(s3, "out/predictions.csv")))
    assert [row["file"] for row in written] == ["1.txt", "2.txt", "3.txt"]
    assert text_of(s3, "jobs/one/failed_items.jsonl") == ""


def engine(arguments):
    command = [sys.executable, "-m", "batch_endpoints.engine", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_store_that_lets_a_second_one_win_fails_the_job_before_anything_is_scored(s3, tmp_path, monkeypatch):
    put(s3, "in/1.txt")
    spec = Job(tmp_path, inputs={"data": {"type": "uri_folder", "path": "s3://lake/in"}}).spec
    folder = JobFolder(writable_place("s3://lake/jobs/job"), "s3://lake/jobs/job")
    folder.write_job(ScoringJob.model_validate(spec))
    plain = S3Client.put
    monkeypatch.setattr(S3Client, "put", lambda files, key, data, me, if_absent: plain(files, key, data, me, False))
    state = run_job(folder, LocalRunner)
    assert (state.status, state.error.code, folder.plan()) == ("Failed", "InvalidInput", None)
    assert "cannot live in the store of 's3://lake/jobs/job'" in state.error.message
    assert "BATCH_ENDPOINTS_ROOT" in state.error.details


def test_a_parallel_step_reads_side_inputs_and_writes_its_outputs_in_a_store(tmp_path, s3, s3_url, monkeypatch):
    s3_server.use_store(monkeypatch, s3_url)
    put(s3, *(f"step/in/{n}.txt" for n in range(4)), "step/side/deep/table.txt")
    at = f"s3://{BUCKET}/step"
    step = Step(
        tmp_path,
        """
        import os, sys
        def run(mini_batch):
            table, folder = sys.argv[1:]
            with open(os.path.join(table, "deep", "table.txt")) as side:
                text = side.read()
            for file in mini_batch:
                with open(os.path.join(folder, os.path.basename(file)), "w") as copy:
                    copy.write(text)
            return [os.path.basename(file) for file in mini_batch]
        """,
        data={"type": "uri_folder", "path": f"{at}/in"},
        inputs={"table": {"type": "uri_folder", "path": f"{at}/side"}},
        outputs={
            "rows": {"type": "uri_file", "path": f"{at}/out/aggregated_returns.jsonl"},
            "files": {"type": "uri_folder", "path": f"{at}/files"},
        },
        task={"program_arguments": "${{inputs.table}} ${{outputs.files}}"},
    )

    state = step.run()

    assert state.status == "Completed", state.error
    assert {name: (one.type, one.path) for name, one in state.outputs.items()} == {
        "rows": ("uri_file", f"{at}/out/aggregated_returns.jsonl"),
        "files": ("uri_folder", f"{at}/files"),
    }
    assert [
        json.loads(line)["prediction"] for line in text_of(s3, "step/out/aggregated_returns.jsonl").splitlines()
    ] == [f"{n}.txt" for n in range(4)]
    assert [text_of(s3, f"step/files/{n}.txt") for n in range(4)] == ["step/side/deep/table.txt"] * 4
