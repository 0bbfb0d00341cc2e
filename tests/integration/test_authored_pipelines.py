"""Pipelines in Python, through a real server and down to their outputs, on this machine without Ray."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from ingress_server import TOKEN, running_server

from batch_endpoints import BatchEndpointsClient
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.pipeline.local_commands import LocalCommands
from batch_endpoints.engine.pipeline.run_graph import run_pipeline
from batch_endpoints.settings import Settings
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.job_folder import JobFolder

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def client(server, tmp_path):
    return BatchEndpointsClient(server.url, settings=Settings(home=tmp_path / "home", token=TOKEN))


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Imports a module from a folder that is its code."""

    def read(name, text):
        (tmp_path / "code").mkdir(exist_ok=True)
        file = tmp_path / "code" / f"{name}.py"
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return read


def run(server, job):
    """Run a job that the server has, as its driver would."""
    record = server.store.job(job.name)
    folder = JobFolder(Disk(local_path(record.folder)), record.folder)
    folder.write_job(record.spec)
    return run_pipeline(folder, LocalCommands, LocalRunner)


def wines(folder):
    folder.mkdir()
    for number in range(3):
        rows = [f"{11 + number + row},2.5,{row},5.0" for row in range(4)]
        text = "\n".join(["alcohol,malic_acid,magnesium,color_intensity", *rows, ",1,1,1", ""])
        (folder / f"wines-{number}.csv").write_text(text)
    return folder


def test_the_example_prepares_and_scores(server, client, load, tmp_path):
    module = load("authored", (EXAMPLES / "pipelines" / "authored.py").read_text())

    job = module.wine_scoring.run(client, measurements=wines(tmp_path / "data"), threshold=13, limit=3)

    state = run(server, job)
    assert state.status == "Completed", state.error
    assert {path: step.status for path, step in state.steps.items()} == {
        "wine_prepare": "Completed",
        "wine_score": "Completed",
    }
    (file,) = local_path(state.outputs["scores"].path).iterdir()
    scored = pd.read_csv(file)
    assert scored["alcohol"].tolist() == [11, 12, 13, 12, 13, 14, 13, 14, 15]
    assert scored["strong"].tolist() == (scored["alcohol"] >= 13).tolist()
    assert set(scored["file"]) == {"wines-0.csv", "wines-1.csv", "wines-2.csv"}


def test_what_is_printed_runs_as_the_pipeline_does(server, client, load, tmp_path):
    module = load("authored", (EXAMPLES / "pipelines" / "authored.py").read_text())
    wines(tmp_path / "data")
    (tmp_path / "wine.yml").write_text(module.wine_scoring.yaml(folder=tmp_path))
    (tmp_path / "job.yml").write_text(
        "type: pipeline\ncomponent: wine.yml\ninputs: {measurements: {type: uri_folder, path: data}}\n"
    )

    state = run(server, client.create_job(tmp_path / "job.yml"))

    assert state.status == "Completed", state.error
    (file,) = local_path(state.outputs["scores"].path).iterdir()
    assert len(pd.read_csv(file)) == 12


def test_a_pipeline_is_deployed_and_invoked(server, client, load, tmp_path):
    module = load("authored", (EXAMPLES / "pipelines" / "authored.py").read_text())
    client.endpoints.create({"name": "wine"})

    deployed = module.wine_scoring.deploy(
        "wine", client=client, set_default=True, settings={"continue_on_step_failure": False}
    )

    assert deployed["name"] == "wine-scoring"
    assert deployed["settings"]["continue_on_step_failure"] is False
    job = client.invoke("wine", inputs={"measurements": str(wines(tmp_path / "data")), "threshold": 14})
    state = run(server, job)
    assert state.status == "Completed", state.error
    (file,) = local_path(state.outputs["scores"].path).iterdir()
    assert pd.read_csv(file)["strong"].sum() == 6


MIXED = """
import enum
from pathlib import Path
from typing import Annotated

from batch_endpoints import Input, Output, command_component, load_component, parallel_component, pipeline
from siblings import marked

count = load_component(Path(__file__).parent / "count.yml")
shared = []


@command_component
def write(
    out: Annotated[Path, Output(type="uri_folder")], text: str, many: int, share: float = 1e-05, on: bool = False,
    more: "int | None" = None,
):
    for number in range(many):
        (out / f"{number}.txt").write_text(marked(repr((text, share, on, more))))


def init():
    shared.append("init")


@parallel_component(mini_batch_size=1)
def run(
    files: Annotated[list, Input(type="uri_folder")],
    extra: Annotated[Path, Output(type="uri_folder")],
    word: str,
    start: int = 5,
) -> Annotated[list, Output(type="uri_file")]:
    (extra / (Path(files[0]).name + ".seen")).touch()
    return [f"{shared} {word} {start} {Path(file).read_text()}" for file in files]


@command_component
def fail(data: Annotated[Path, Input(type="uri_file")], out: Annotated[Path, Output(type="uri_file")]):
    raise LookupError(f"nothing in {data.name}")


@pipeline
def mixed(text: str, word: str, on: bool = False):
    written = write(text=text, many=2, on=on)
    scored = run(files=written.outputs.out, word=word)
    counted = count(data=scored.outputs.extra)
    return {"rows": scored.outputs.rows, "lines": counted.outputs.lines}


@pipeline
def failing(text: str):
    written = write(text=text, many=1)
    counted = count(data=written.outputs.out)
    return {"out": fail(data=counted.outputs.lines).outputs.out}
"""
COUNT = """
type: command
name: count
inputs: {data: {type: uri_folder}}
outputs: {lines: {type: uri_file}}
command: ls ${{inputs.data}} | wc -l > ${{outputs.lines}}
"""


@pytest.fixture
def mixed(load, tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "count.yml").write_text(COUNT)
    (tmp_path / "code" / "siblings.py").write_text("def marked(text): return f'<{text}>'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    return load("mixed_steps", MIXED)


def test_values_arrive_as_they_are_declared_and_a_component_from_yaml_stands_among_functions(server, client, mixed):
    job = mixed.mixed.run(client, text="007 'a\" $HOME", word="x y", on=True, job={"display_name": "mixed"})

    state = run(server, job)

    assert state.status == "Completed", state.error
    row = f"['init'] x y 5 <{('007 ' + chr(39) + 'a' + chr(34) + ' $HOME', 1e-05, True, None)!r}>"
    rows = pd.read_csv(local_path(state.outputs["rows"].path))
    assert rows["prediction"].tolist() == [row, row]
    assert local_path(state.outputs["lines"].path).read_text().strip() == "2"
    assert job.document["display_name"] == "mixed"


def test_an_exception_of_a_function_is_the_headline_of_its_job(server, client, mixed):
    state = run(server, mixed.failing.run(client, text="a"))

    assert state.status == "Failed"
    assert state.error.message.startswith("step 'fail' failed: ")
    assert "LookupError: nothing in" in state.error.message + state.error.details


def test_code_that_the_server_has_is_a_copy(server, client, mixed, tmp_path):
    job = mixed.mixed.run(client, text="a", word="b")
    shutil.rmtree(tmp_path / "code")

    assert run(server, job).status == "Completed"
