"""The command line and the SDK against the real HTTP application; no Ray, so jobs stay where they are put."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pytest
import uvicorn
from click.testing import CliRunner

from batch_endpoints import BatchEndpointsClient
from batch_endpoints.cli import main
from batch_endpoints.cli.invoke import asked, invoke, with_one_input
from batch_endpoints.cli.running_server import RunningServer, unfinished_jobs
from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.errors import Conflict, JobFailed, NotFound
from batch_endpoints.ingress.app import create_app
from batch_endpoints.planning.job_plan import plan_job
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.settings import Settings
from batch_endpoints.specs import JobError, JobOutput, JobState, Progress
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.listing import list_files
from batch_endpoints.storage.job.commits import Commit, CommittedFile
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs.rows import write_parts

TOKEN = "the-token"
SCRIPT = "def init():\n    pass\n\n\ndef run(mini_batch):\n    return mini_batch\n"
DEPLOYMENT = """\
$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json
name: xgb-v1
endpoint_name: named-in-yaml
type: model
model:
  path: model
code_configuration:
  code: code
  scoring_script: score.py
environment:
  conda_file: conda.yml
  image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04
compute: azureml:local
settings:
  mini_batch_size: 10
"""


class Server:
    """The application on a free port of loopback, over records in memory."""

    def __init__(self, home: Path) -> None:
        self.home, self.store = home, MemoryRecordStore()
        plane = ControlPlane(self.store, jobs_root=home / "jobs", uploads_root=home / "uploads")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.received: list[str] = []
        application = create_app(plane, server_id="this-server", token=TOKEN)

        async def recorded(scope, receive, send):
            if scope["type"] == "http":
                self.received.append(f"{scope['method']} {scope['path']}")
            await application(scope, receive, send)

        self._uvicorn = uvicorn.Server(uvicorn.Config(recorded, log_level="warning", lifespan="off"))
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self._socket.close()

    def folder_of(self, job: str) -> Path:
        folder = local_path(self.store.job(job).folder)
        assert folder is not None
        return folder

    def ends(self, job: str, state: JobState) -> None:
        """What controller and driver would do to its record."""
        self.store.update_job(job, lambda known: known.replaced(status=state.status, state=state))


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(tmp_path / "client-home"))
    with Server(tmp_path / "server-home") as running:
        monkeypatch.setenv("BATCH_ENDPOINTS_URL", running.url)
        monkeypatch.setenv("BATCH_ENDPOINTS_TOKEN", TOKEN)
        yield running


@pytest.fixture
def cli(server):
    def run(*args: str, exit_code: int = 0) -> str:
        result = CliRunner().invoke(main, list(args))
        assert result.exit_code == exit_code, result.output
        return result.stdout if exit_code == 0 else result.stderr

    return run


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with YAML, model, code and data, which is not the current one."""
    folder = tmp_path / "project"
    for path, text in {
        "endpoint.yml": "name: tumor\ndescription: benign or not\n",
        "deployment.yml": DEPLOYMENT,
        "conda.yml": "dependencies:\n  - python=3.11\n  - pip:\n      - scikit-learn\n",
        "model/weights.txt": "1 2 3",
        "model/deep/more.txt": "",
        "code/score.py": SCRIPT,
        "code/__pycache__/score.cpython-311.pyc": "old",
        "data/a.csv": "x\n1\n",
        "data/deep/b.csv": "x\n2\n",
    }.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def deployed(cli, files):
    cli("batch-endpoint", "create", "--f", str(files / "endpoint.yml"))
    cli("batch-deployment", "create", "-f", str(files / "deployment.yml"), "--endpoint", "tumor", "--set-default")
    return files


def test_an_endpoint_is_created_shown_changed_listed_and_deleted(cli, files):
    created = json.loads(
        cli("endpoint", "create", "-f", str(files / "endpoint.yml"), "--set", "tags.a=1", "tags.b=2")
    )
    assert (created["name"], created["tags"]) == ("tumor", {"a": "1", "b": "2"})
    assert created["scoring_uri"].endswith("/endpoints/tumor/jobs")

    cli("endpoint", "update", "-n", "tumor", "--set", "description=new", "--remove", "tags.a")
    assert cli("endpoint", "show", "-n", "tumor", "--query", "[description, tags.b]", "-o", "tsv") == "new\n2\n"
    assert json.loads(cli("endpoint", "show", "-n", "tumor"))["tags"] == {"b": "2"}

    assert cli("endpoint", "list", "--query", "[].name", "-o", "tsv") == "tumor\n"
    assert "tumor" in cli("endpoint", "list", "-o", "table")
    assert "without being asked, add --yes" in cli("endpoint", "delete", "-n", "tumor", exit_code=2)
    cli("endpoint", "delete", "-n", "tumor", "--yes")
    assert "tumor" in cli("endpoint", "show", "-n", "tumor", exit_code=1)


def test_flags_that_scripts_for_az_pass_along_are_taken(cli, files):
    cli(
        *("batch-endpoint", "create", "--name", "tumor", "-g", "group", "--workspace-name", "w", "--no-wait"),
        *("--only-show-errors", "--subscription", "s"),
    )
    assert cli("batch-endpoint", "list", "--query", "length(@)", "-o", "tsv") == "1\n"


def test_a_deployment_carries_its_files_to_the_server(cli, server, deployed):
    shown = json.loads(cli("deployment", "show", "-e", "tumor", "-n", "xgb-v1"))
    assert shown["endpoint_name"] == "tumor"
    assert shown["environment"]["conda_file"]["dependencies"][0] == "python=3.11"
    assert cli("endpoint", "show", "-n", "tumor", "--query", "defaults.deployment_name", "-o", "tsv") == "xgb-v1\n"

    trees = server.home / "uploads" / "trees"
    sent = sorted(path.relative_to(trees).as_posix().partition("/")[2] for path in trees.rglob("*") if path.is_file())
    assert sent == ["code/score.py", "model/deep/more.txt", "model/weights.txt"]


def test_an_endpoint_without_a_default_is_told_of_with_the_command_that_sets_it(server, files):
    CliRunner().invoke(main, ["endpoint", "create", "-n", "tumor"])
    create = ["deployment", "create", "-f", str(files / "deployment.yml"), "-e", "tumor", "-n"]
    first = CliRunner().invoke(main, [*create, "xgb-v1"])
    assert json.loads(first.stdout)["name"] == "xgb-v1"
    told, command = first.stderr.splitlines()
    assert "Endpoint 'tumor' has no default deployment yet" in told

    assert CliRunner().invoke(main, command.split()[1:]).exit_code == 0
    assert CliRunner().invoke(main, [*create, "xgb-v2"]).stderr == ""


def test_what_the_server_has_is_not_sent_again(cli, server, deployed):
    server.received.clear()
    cli("deployment", "create", "-f", str(deployed / "deployment.yml"), "-e", "tumor", "-n", "xgb-v2")
    assert not [request for request in server.received if "blobs" in request]
    assert cli("deployment", "list", "-e", "tumor", "--query", "[].name", "-o", "tsv") == "xgb-v1\nxgb-v2\n"


def test_a_deployment_is_updated_in_either_layout_and_deleted(cli, deployed):
    cli(
        "deployment",
        "update",
        "-e",
        "tumor",
        "-n",
        "xgb-v1",
        "--set",
        "settings.mini_batch_size=20",
        "instance_count=3",
    )
    cli("deployment", "update", "-e", "tumor", "-n", "xgb-v1", "--set", "error_threshold=5")
    query = "[settings.mini_batch_size, resources.instance_count, settings.error_threshold]"
    assert json.loads(cli("deployment", "show", "-e", "tumor", "-n", "xgb-v1", "--query", query)) == [20, 3, 5]
    refused = cli(
        "deployment", "update", "-e", "tumor", "-n", "xgb-v1", "--set", "model=azureml:other:1", exit_code=1
    )
    assert "'model' of a deployment cannot be changed" in refused

    assert "is the default of endpoint" in cli(
        "deployment", "delete", "-e", "tumor", "-n", "xgb-v1", "-y", exit_code=1
    )
    cli("endpoint", "update", "-n", "tumor", "--defaults", "deployment_name=")
    cli("deployment", "delete", "-e", "tumor", "-n", "xgb-v1", "--yes")
    assert json.loads(cli("deployment", "list", "-e", "tumor")) == []


def test_a_misspelt_key_is_named_with_file_line_and_the_nearest_one(cli, files):
    (files / "bad.yml").write_text("name: xgb-v1\nmodel: azureml:m:1\nsettings:\n  mini_batch_sice: 3\n")
    told = cli("deployment", "create", "-f", str(files / "bad.yml"), "-e", "tumor", exit_code=1)
    assert told.startswith("ERROR: ")
    assert f"{files / 'bad.yml'}:4: unknown key 'settings.mini_batch_sice'" in told
    assert "did you mean 'mini_batch_size'?" in told


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("-n", "1x"), "--name: 'name': expected 3 to 32 letters"),
        (("--set", "settings.mini_batch_sice=3"), "--set: unknown key 'settings.mini_batch_sice'; did you mean"),
        (("--set", "settings.error_threshold=few"), "--set: 'settings.error_threshold': expected a whole number"),
        (("--set", 'settings={"mini_batch_size": []}'), "--set: 'settings.mini_batch_size': expected"),
        (("--set", "tags.a=1"), "{file}:10: unknown key 'environmend'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_a_flag_gave_wrong_is_told_of_the_flag_and_not_of_a_line(cli, files, flags, told):
    file = files / "flags.yml"
    file.write_text(DEPLOYMENT.replace("environment:", "environmend:") if "tags.a=1" in flags else DEPLOYMENT)
    text = cli("deployment", "create", "-f", str(file), "-e", "tumor", *flags, exit_code=1)
    assert text.startswith("ERROR: " + told.format(file=file))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("endpoint", "create", "-n", "x"), "--name: 'name': expected 3 to 32"),
        (("compute", "create", "-n", "c", "--min-instances", "some"), "--min-instances: 'min_instances': expected a"),
        (("model", "create", "-n", "m", "--type", "onnx", "--path", "p"), "--type: 'type': expected"),
        (("endpoint", "invoke", "-n", "tumor", "--input", "s3://b", "-c", "0"), "--instance-count: 'instance_count'"),
        (("endpoint", "invoke", "-n", "tumor", "--input", "s3://b/f", "--job-name", "a/b"), "--job-name: 'name':"),
        (("endpoint", "invoke", "-n", "tumor", "--inputs", "a=s3://b", "a.t=x"), "--inputs: unknown key 'inputs.a"),
        (("endpoint", "invoke", "-f", "{file}", "-c", "x"), "--instance-count: 'instance_count': expected a whole"),
        (("endpoint", "invoke", "-f", "{file}", "--set", "error_threshold=x"), "--set: 'error_threshold': expected"),
        (("endpoint", "invoke", "-f", "{file}", "--set", "tags=x"), "--set: 'tags': expected keys and values"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_every_verb_that_creates_names_the_flag(cli, files, args, told):
    (files / "invocation.yml").write_text("endpoint: tumor\ninputs: {x: s3://b/f}\ninstance_count: 2\n")
    text = cli(*(arg.format(file=files / "invocation.yml") for arg in args), exit_code=1)
    assert text.startswith("ERROR: " + told)


def test_a_syntax_error_in_the_script_is_found_before_anything_is_sent(cli, server, deployed):
    (deployed / "code" / "score.py").write_text("def run(:\n")
    server.received.clear()
    told = cli("deployment", "create", "-f", str(deployed / "deployment.yml"), "-e", "tumor", exit_code=1)
    assert "score.py:1:" in told
    assert server.received == []
    cli(
        *("deployment", "create", "-f", str(deployed / "deployment.yml"), "-e", "tumor"),
        *("--skip-script-validation", "-n", "xgb-v3"),
    )


@pytest.mark.parametrize(
    ("missing", "line", "key"),
    [
        ("path: model", 6, "model.path"),
        ("code: code", 8, "code_configuration.code"),
        ("scoring_script: score.py", 9, "code_configuration.scoring_script"),
        ("conda_file: conda.yml", 11, "environment.conda_file"),
    ],
    ids=lambda value: str(value),
)
def test_a_path_that_is_not_there_is_told_of_with_its_key_and_line(cli, server, files, missing, line, key):
    cli("endpoint", "create", "-n", "tumor")
    file = files / "deployment.yml"
    file.write_text(DEPLOYMENT.replace(missing, missing.partition(":")[0] + ": nowhere"))
    told = cli("deployment", "create", "-f", str(file), "-e", "tumor", exit_code=1)
    assert told.startswith(f"ERROR: {file}:{line}: '{key}': there is no '{files}")
    assert told.endswith("nowhere'\n")

    flag = cli("deployment", "create", "-f", str(file), "-e", "tumor", "--set", f"{key}=gone", exit_code=1)
    assert flag.startswith(f"ERROR: --set: '{key}': there is no '")


def test_in_files_that_a_yaml_names_too(cli, files):
    (files / "step.yml").write_text("type: command\nname: train\ncommand: x\nenvironment:\n  conda_file: gone.yml\n")
    (files / "pipeline.yml").write_text(
        "type: pipeline\nname: p\njobs: {one: {type: command, component: step.yml}}\n"
    )
    told = cli("component", "create", "-f", str(files / "pipeline.yml"), exit_code=1)
    assert told == f"ERROR: {files}/step.yml:5: 'environment.conda_file': there is no '{files}/gone.yml'\n"
    told = cli("model", "create", "-n", "m", "--path", "gone", exit_code=1)
    assert told == f"ERROR: --path: 'path': there is no '{Path.cwd()}/gone'\n"


def test_a_server_on_another_machine_gets_the_input_itself(cli, server, deployed):
    job = json.loads(cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "first"))
    assert (job["name"], job["status"], job["deployment_name"]) == ("first", "NotStarted", "xgb-v1")
    path = Path(job["inputs"]["input"]["path"].removeprefix("file://"))
    assert path.is_relative_to(server.home / "uploads")
    assert sorted(file.name for file in path.rglob("*.csv")) == ["a.csv", "b.csv"]


def test_a_server_on_this_machine_reads_the_input_in_place(cli, server, deployed, monkeypatch):
    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(server.home))
    monkeypatch.delenv("BATCH_ENDPOINTS_URL")
    (server.home / "server.json").write_text(json.dumps({"url": server.url, "id": "this-server"}))
    job = json.loads(
        cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data/a.csv", "--output-path", "out")
    )
    assert job["inputs"]["input"] == {"type": "uri_file", "path": (deployed / "data" / "a.csv").as_uri()}
    assert job["outputs"]["score"]["path"] == (Path.cwd() / "out").as_uri()


def test_a_server_that_nobody_named_and_that_another_has_started_is_told_of(server, deployed, monkeypatch):
    monkeypatch.delenv("BATCH_ENDPOINTS_URL")
    home = deployed / "home"
    home.mkdir()
    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(home))
    invoke = ["endpoint", "invoke", "-n", "tumor", "--input", "project/data"]

    (home / "server.json").write_text(json.dumps({"url": server.url, "id": "the-one-that-was-here-before"}))
    assert "was not started with this BATCH_ENDPOINTS_HOME" in CliRunner().invoke(main, invoke).stderr
    assert CliRunner().invoke(main, [*invoke, "--only-show-errors"]).stderr == ""
    assert CliRunner().invoke(main, [*invoke, "--server", server.url]).stderr == ""

    (home / "server.json").write_text(json.dumps({"url": server.url, "id": "this-server"}))
    assert CliRunner().invoke(main, invoke).stderr == ""


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("project/data/*.csv", ["a.csv"]),
        ("project/data/**/*.csv", ["a.csv", "b.csv"]),
        ("project/d?ta/deep/[ab].csv", ["b.csv"]),
    ],
)
def test_a_pattern_is_an_input_of_the_files_it_matches(cli, server, deployed, monkeypatch, pattern, names):
    (deployed / "data" / "c.txt").write_text("no")
    invoke = ("endpoint", "invoke", "-n", "tumor", "--input", pattern, "--query", "inputs.input.path", "-o", "tsv")

    def files(uri):
        return sorted(Path(file.path).name for file in list_files(uri)[1])

    sent = cli(*invoke).strip()
    assert "/uploads/" in sent
    assert files(sent) == names

    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(server.home))
    (server.home / "server.json").write_text(json.dumps({"url": server.url, "id": "this-server"}))
    in_place = cli(*invoke).strip()
    assert in_place.startswith(Path.cwd().as_uri())
    assert files(in_place) == names


def test_a_pattern_that_matches_nothing_makes_no_job(cli, server, deployed, monkeypatch):
    invoke = ("endpoint", "invoke", "-n", "tumor", "--input", "project/data/*.png")
    assert "project/data' matches '*.png'" in cli(*invoke, exit_code=1)
    assert "no/*.csv' does not exist" in cli(*invoke[:-1], "no/*.csv", exit_code=1)
    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(server.home))
    (server.home / "server.json").write_text(json.dumps({"url": server.url, "id": "this-server"}))
    assert "matches no file" in cli(*invoke, exit_code=1)


@pytest.mark.parametrize(
    ("flags", "given"),
    [
        (("--input-path", "folder:s3://b/f"), {"type": "uri_folder", "path": "s3://b/f"}),
        (("--input-path", "file:s3://b/f.csv"), {"type": "uri_file", "path": "s3://b/f.csv"}),
        (("--input-path", "file:///data"), {"path": "file:///data"}),
        (("--input-data", "azureml:heart:1"), {"path": "azureml:heart:1"}),
        (("--input-local-path", "data"), {"path": f"{Path.cwd()}/data"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_input_may_be_given_as_before_version_2_5_of_azs_extension(flags, given):
    told = invoke.make_context("invoke", ["-n", "tumor", *flags]).params
    assert asked({}, Path.cwd(), (), with_one_input(told))[0]["inputs"] == {"input": given}


def test_two_inputs_that_mean_the_same_are_a_usage_error(cli):
    told = cli("endpoint", "invoke", "-n", "tumor", "--input", "a", "--input-path", "folder:b", exit_code=2)
    assert "give one of --input, --input-path" in told


def test_an_invocation_file_is_changed_by_flags(cli, deployed):
    (deployed / "invocation.yml").write_text(
        "endpoint: other\ninputs:\n  heart:\n    type: uri_folder\n    path: data\n  threshold: 0.5\n"
    )
    job = json.loads(
        cli(
            *("endpoint", "invoke", "-f", str(deployed / "invocation.yml"), "-n", "tumor", "-c", "3"),
            *("--set", "output_file_name=p.jsonl", "retry_settings.max_retries=1", "inputs.mode.default=append"),
        )
    )
    assert sorted(job["inputs"]) == ["heart", "mode", "threshold"]
    assert job["inputs"]["threshold"] == {"type": "literal", "value": 0.5}
    assert job["inputs"]["mode"] == {"type": "literal", "value": "append"}
    assert job["compute"]["instance_count"] == 3


def test_invoke_says_what_is_wrong_before_there_is_a_job(cli, deployed):
    assert "nowhere' does not exist" in cli("endpoint", "invoke", "-n", "tumor", "--input", "nowhere", exit_code=1)
    Path("empty").mkdir()
    assert "empty' has no files" in cli("endpoint", "invoke", "-n", "tumor", "--input", "empty", exit_code=1)
    many = ("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--set", "mini_batch=3")
    assert "did you mean 'mini_batch_size'?" in cli(*many, exit_code=1)
    assert "Give --input" in cli("endpoint", "invoke", "-n", "tumor", exit_code=1)
    cli("endpoint", "update", "-n", "tumor", "--set", "defaults.deployment_name=")
    no_default = cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", exit_code=1)
    assert "No valid deployments to route to" in no_default
    assert cli("job", "list", "--query", "length(@)", "-o", "tsv") == "0\n"


def test_one_request_id_makes_one_job(cli, deployed):
    call = ("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--query", "name", "-o", "tsv")
    assert cli(*call, "--request-id", "monday") == cli(*call, "--request-id", "monday")
    assert cli(*call) != cli(*call)
    assert cli("job", "list", "--query", "length(@)", "-o", "tsv") == "3\n"


def test_jobs_are_listed_and_cancelled(cli, deployed):
    cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "one")
    cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "two")
    taken = cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "two", exit_code=1)
    assert "a job 'two' exists already" in taken
    assert cli("job", "list", "--query", "[].name", "-o", "tsv") == "two\none\n"
    assert cli("job", "list", "-r", "1", "--query", "[].name", "-o", "tsv") == "two\n"
    assert cli("endpoint", "list-jobs", "-n", "tumor", "--query", "length(@)", "-o", "tsv") == "2\n"
    assert cli("deployment", "list-jobs", "-n", "xgb-v1", "-e", "tumor", "--query", "length(@)", "-o", "tsv") == "2\n"

    assert cli("job", "cancel", "-n", "one", "--query", "status", "-o", "tsv") == "Canceled\n"
    assert cli("job", "list", "--status", "canceled", "--query", "[].name", "-o", "tsv") == "one\n"
    assert "Canceled" in cli("job", "cancel", "-n", "one", exit_code=1)
    assert "Canceled" in cli("job", "stream", "-n", "one", exit_code=1)


@pytest.mark.parametrize("verb", ["resume", "retry-failed"])
def test_a_job_that_goes_on_takes_settings_as_an_invocation_does(cli, server, deployed, verb):
    cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "one")
    server.ends("one", JobState(status="Failed", progress=Progress(items=2, items_failed=1)))

    cli("job", verb, "-n", "one", "--set", "settings.error_threshold=5", "compute.instance_count=2")

    deployment = server.store.job("one").spec.deployment
    assert (deployment.settings.error_threshold, deployment.resources.instance_count) == (5, 2)


def test_who_ends_a_server_hears_how_many_jobs_have_not_ended(cli, server, deployed):
    running, settings = RunningServer("this-server", server.url, "", "", None), Settings.read()
    assert unfinished_jobs(running, settings) == ""
    for name in ("one", "two", "three", "four"):
        cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", name)
    server.ends("one", JobState(status="Completed"))
    server.ends("two", JobState(status="Preparing"))
    assert unfinished_jobs(running, settings) == "1 running and 2 queued"
    assert unfinished_jobs(replace(running, url="http://127.0.0.1:1"), settings) == ""


def test_a_completed_job_is_streamed_read_and_downloaded(cli, server, deployed, monkeypatch, tmp_path):
    cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "done")
    folder = server.folder_of("done")
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "driver.log").write_text("planned\nscored\n")
    (folder / "report.json").write_text("{}")
    (folder / "failed_items.jsonl").write_text('{"file": "c.csv"}\n')
    output = folder / "named-outputs" / "score"
    output.mkdir(parents=True)
    (output / "predictions.csv").write_text('file,label\na.csv,"two\nlines"\nb.csv,x\n')
    (output / "empty.csv").write_text("")
    progress = Progress(mini_batches=1, mini_batches_done=1, items=2, items_succeeded=2, rows=2)
    outputs = {"score": JobOutput(path=output.as_uri())}
    now = datetime.now(timezone.utc)
    server.ends("done", JobState(status="Completed", progress=progress, ended_at=now, outputs=outputs))

    streamed = cli("job", "stream", "-n", "done")
    assert streamed.splitlines() == [
        "driver   | planned",
        "driver   | scored",
        "Completed: 2 of 2 items scored, 0 failed, 2 rows",
        f"score: {output.as_uri()}",
    ]

    client = BatchEndpointsClient()
    job = client.job("done").wait()
    assert job.progress.items_succeeded == 2
    assert [file.path for file in job.outputs["score"].files()] == ["empty.csv", "predictions.csv"]
    over_http = job.outputs["score"].to_pandas()
    assert over_http.to_dict("list") == {"file": ["a.csv", "b.csv"], "label": ["two\nlines", "x"]}
    with pytest.raises(NotFound, match="has no output 'scores'"):
        job.outputs["scores"]
    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(server.home))
    (server.home / "server.json").write_text(json.dumps({"url": server.url, "id": "this-server"}))
    server.received.clear()
    in_place = BatchEndpointsClient().job("done").outputs["score"].to_arrow()
    assert in_place.num_rows == 2
    assert not [request for request in server.received if request.endswith(".csv")]

    cli("job", "download", "-n", "done", "--output-name", "score", "-p", str(tmp_path / "got"), "--all")
    got = tmp_path / "got" / "named-outputs" / "score" / "predictions.csv"
    assert got.read_text() == (output / "predictions.csv").read_text()
    artifacts = tmp_path / "got" / "artifacts"
    assert (artifacts / "logs" / "driver.log").read_text() == "planned\nscored\n"
    assert (artifacts / "failed_items.jsonl").read_text() == '{"file": "c.csv"}\n'
    assert json.loads((artifacts / "report.json").read_text()) == {}
    assert client.job("done").report()["progress"]["items"] == 2


def test_what_a_job_has_committed_is_read_before_its_output_is_there(cli, server, deployed, tmp_path):
    target = (tmp_path / "elsewhere").as_uri()
    asked = ("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--output-path", target)
    for name in ("early", "torn"):
        cli(*asked, "--job-name", name)
    refused = cli("job", "download", "-n", "early", "--partial", exit_code=1)
    assert "job 'early' is NotStarted and has committed nothing yet" in refused
    folder = JobFolder(writable_place(uri := server.store.job("torn").folder), uri)
    files = folder.files
    plan = folder.write_plan(plan_job("/in", [InputFile(f"{n}.csv") for n in range(3)], 1, 1))
    files.replace("parts/note", b"made by the script")
    for bundle in plan.bundles[::2]:
        rows = pa.table({"file": bundle.mini_batches[0]})
        folder.commits().add(
            Commit(
                bundle=bundle.index,
                start=bundle.start,
                end=bundle.end,
                parts=write_parts(files, bundle.index, bundle.start, [rows]).paths,
                files=[CommittedFile(name="note.txt", stored="parts/note")],
            )
        )
    server.ends("torn", JobState(status="Canceled"))

    cli("job", "download", "-n", "torn", "--partial", "-p", str(tmp_path / "got"))

    got = tmp_path / "got" / "partial-outputs" / "score"
    assert (got / "predictions.csv").read_text() == '"file"\n"0.csv"\n"2.csv"\n'
    assert (got / "note-2.txt").read_text() == "made by the script"
    assert not (tmp_path / "elsewhere").exists()
    job = BatchEndpointsClient().job("torn")
    assert job.partial_outputs["score"].to_arrow().num_rows == 2
    with pytest.raises(Conflict, match=r"are not there\n.*job download --partial. has what is committed"):
        job.outputs["score"].files()

    output = JobOutput(path=target)
    server.ends("torn", JobState(status="Completed", outputs={"score": output}))
    with pytest.raises(Conflict, match="is Completed, so its output is whole"):
        job.partial_outputs["score"].files()


def test_the_logs_of_a_job_are_read_by_worker_and_by_errors(cli, server, deployed):
    cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "told")
    logs = server.folder_of("told") / "logs"
    logs.mkdir(parents=True)
    (logs / "driver.log").write_text("2026-11-24T00:29:20.000Z INFO Running\n")
    (logs / "worker-n-1-abcd.log").write_text("2026-11-24T00:29:19.000Z ERROR try 1 failed\nTraceback ü\n")
    server.ends("told", JobState(status="Failed"))

    merged = cli("job", "logs", "-n", "told")
    assert merged.splitlines() == [
        "abcd     | 2026-11-24T00:29:19.000Z ERROR try 1 failed",
        "abcd     | Traceback ü",
        "driver   | 2026-11-24T00:29:20.000Z INFO Running",
    ]
    assert cli("job", "logs", "-n", "told", "--follow") == merged
    assert cli("job", "logs", "-n", "told", "--worker", "driver") == "2026-11-24T00:29:20.000Z INFO Running\n"
    assert cli("job", "logs", "-n", "told", "--errors").splitlines() == merged.splitlines()[:2]
    for follow in ((), ("--follow",)):
        told = cli("job", "logs", "-n", "told", "--worker", "gpu", *follow, exit_code=1)
        assert "has 'gpu' in its name" in told


def test_a_failed_job_says_why_everywhere(cli, server, deployed):
    cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "bad")
    error = JobError(code="InitFailed", message="score.py:3: NameError: name 'x' is not defined", details="Traceback")
    server.ends("bad", JobState(status="Failed", error=error, progress=Progress(items=2, items_failed=2)))

    streamed = CliRunner().invoke(main, ["job", "stream", "-n", "bad"])
    assert streamed.stdout == ""  # no progress that is the end, which is told behind the log
    assert streamed.stderr.splitlines() == [
        "ERROR: job bad ended as Failed: 0 of 2 items scored, 2 failed, 0 rows",
        "score.py:3: NameError: name 'x' is not defined",
        "Traceback",
    ]
    assert cli("job", "show", "-n", "bad", "--query", "error.message", "-o", "tsv").startswith(
        "score.py:3: NameError"
    )
    job = BatchEndpointsClient().job("bad")
    with pytest.raises(JobFailed, match="NameError: name"):
        job.wait()
    assert job.error is not None
    assert job.error.code == "InitFailed"
    with pytest.raises(Conflict):
        job.cancel()
    assert "is Failed" in cli("job", "download", "-n", "bad", exit_code=1)


@pytest.mark.parametrize(("status", "exit_code"), [("Completed", 0), ("Canceled", 1)])
def test_only_show_errors_leaves_of_a_followed_job_how_it_ended(cli, server, deployed, status, exit_code):
    cli("endpoint", "invoke", "-n", "tumor", "--input", "project/data", "--job-name", "silent")
    logs = server.folder_of("silent") / "logs"
    logs.mkdir(parents=True)
    (logs / "driver.log").write_text("hello\n")
    server.ends("silent", JobState(status=status))
    told = CliRunner().invoke(main, ["job", "stream", "-n", "silent", "--only-show-errors"])
    assert told.exit_code == exit_code
    assert told.output == ("Completed\n" if status == "Completed" else "ERROR: job silent ended as Canceled\n")


def test_a_job_is_followed_while_it_goes_on(server, deployed):
    job = BatchEndpointsClient().invoke("tumor", input=deployed / "data", job_name="going", max_retries=1)
    logs = server.folder_of("going") / "logs"
    logs.mkdir(parents=True)
    heard = []
    for event in job.stream():
        heard.append((event.kind, event.line or event.job.status))
        if len(heard) == 1:
            (logs / "driver.log").write_text("hello\n")
        elif event.line == "driver   | hello":
            server.ends("going", JobState(status="Canceled"))
    assert heard[0] == ("progress", "NotStarted")
    assert ("log", "driver   | hello") in heard
    assert heard[-1] == ("end", "Canceled")


def test_wait_gives_up_in_time_and_leaves_the_job(server, deployed):
    job = BatchEndpointsClient().invoke("tumor", input=deployed / "data")
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="it goes on"):
        job.wait(timeout_seconds=0.3)
    assert time.monotonic() - started < 5
    assert not job.refresh().ended


@pytest.mark.parametrize(
    ("noun", "create", "shown"),
    [
        ("model", ("-n", "m", "--path", "project/model", "--type", "mlflow_model"), {"version": "1"}),
        ("data", ("-n", "d", "-v", "7", "--path", "project/data/a.csv", "--type", "uri_file"), {"version": "7"}),
        ("environment", ("-n", "e", "--conda-file", "project/conda.yml", "--tags", "a=1", "b=2"), {"version": "1"}),
        ("compute", ("-n", "c", "--type", "AmlCompute", "--max-instances", "2"), {"max_instances": 2}),
        ("datastore", ("-n", "s", "--type", "uri", "--set", "uri=s3://bucket/folder"), {"uri": "s3://bucket/folder"}),
    ],
)
def test_assets_are_created_shown_listed_changed_and_deleted(cli, files, noun, create, shown):
    created = json.loads(cli(noun, "create", *create))
    assert shown.items() <= created.items()
    name = created["name"]
    assert json.loads(cli(noun, "show", "-n", name)) == created
    assert name in cli(noun, "list", "--query", "[].name", "-o", "tsv").split()
    assert json.loads(cli(noun, "update", "-n", name, "--set", "description=x"))["description"] == "x"
    version = ("-v", created["version"]) if "version" in created else ()
    cli(noun, "delete", "-n", name, *version, "--yes")
    assert name in cli(noun, "show", "-n", name, exit_code=1)


def test_a_pipeline_component_carries_its_steps_to_the_server(cli, server, files):
    steps = files / "steps" / "train"
    steps.mkdir(parents=True)
    (steps / "main.py").write_text("print()")
    (steps / "train.yml").write_text(
        "type: command\nname: train\ncommand: python main.py\ncode: .\nenvironment:\n  requirements: ../req.txt\n"
    )
    (files / "steps" / "req.txt").write_text("# why\nnumpy\n\n")
    (files / "pipeline.yml").write_text(
        "type: pipeline\nname: both\njobs:\n  one:\n    type: command\n    component: ./steps/train/train.yml\n"
    )
    (files / "pipe.yml").write_text("type: pipeline\nname: pipe\ncomponent: pipeline.yml\n")
    cli("endpoint", "create", "-n", "tumor")
    created = json.loads(cli("deployment", "create", "-f", str(files / "pipe.yml"), "-e", "tumor"))
    step = created["component"]["jobs"]["one"]["component"]
    assert step["code"].startswith("upload://")
    assert step["code"].endswith("/train")
    assert step["environment"]["requirements"] == ["numpy"]


def test_settings_can_be_given_to_a_client(server, tmp_path):
    client = BatchEndpointsClient(settings=Settings(home=tmp_path, url=server.url, token=TOKEN))
    assert client.url == server.url
    assert list(client.endpoints.list()) == []


def test_lists_are_read_to_their_end(server):
    client = BatchEndpointsClient()
    for number in range(53):
        client.endpoints.create({"name": f"endpoint-{number:02}"})
    assert len(list(client.endpoints.list())) == 53
