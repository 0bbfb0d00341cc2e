"""Pipelines from their files to their outputs, on this machine without Ray."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.engine.driver.scoring_rounds import Stopped
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.pipeline import run_graph
from batch_endpoints.engine.pipeline.local_commands import LocalCommands
from batch_endpoints.engine.pipeline.run_graph import run_pipeline
from batch_endpoints.errors import Conflict, InvocationError
from batch_endpoints.processes.program import can_protect
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import CommandJob, Compute, Datastore, Invocation, JobState
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.job_folder import JobFolder


class Pipelines:
    """A control plane with jobs that a test runs itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = MemoryRecordStore()
        self.plane = ControlPlane(self.store, jobs_root=root / "jobs", uploads_root=root / "uploads")

    def create(self, text: str, **changes):
        return self.plane.jobs.create({**yaml.safe_load(text), **changes})

    def run(self, job, commands=LocalCommands) -> JobState:
        folder = self.folder(job)
        folder.write_job(self.store.job(job.name).spec)
        return run_pipeline(folder, commands, LocalRunner)

    def folder(self, job) -> JobFolder:
        return JobFolder(Disk(local_path(job.folder)), job.folder)


@pytest.fixture
def pipelines(tmp_path):
    return Pipelines(tmp_path)


def text_of(output, name=""):
    return (local_path(output.path) / name if name else local_path(output.path)).read_text()


def statuses(state):
    return {path: step.status for path, step in state.steps.items()}


HELLO = """
type: pipeline
inputs: {who: world}
outputs: {loud: {type: uri_folder}}
jobs:
  greet:
    command: echo "Hello ${{inputs.who}}" > ${{outputs.greeting}}
    inputs: {who: "${{parent.inputs.who}}"}
    outputs: {greeting: {type: uri_file}}
  shout:
    command: tr a-z A-Z < ${{inputs.text}} > ${{outputs.loud}}/loud.txt
    inputs:
      text: {type: uri_file, path: "${{parent.jobs.greet.outputs.greeting}}"}
    outputs: {loud: "${{parent.outputs.loud}}"}
"""


def test_steps_run_one_after_the_other_where_one_reads_from_the_other(pipelines):
    state = pipelines.run(pipelines.create(HELLO))
    assert state.status == "Completed", state.error
    assert statuses(state) == {"greet": "Completed", "shout": "Completed"}
    assert text_of(state.outputs["loud"], "loud.txt") == "HELLO WORLD\n"
    assert state.steps["shout"].after == ("greet",)


def test_an_output_goes_to_the_path_that_a_job_names(pipelines, tmp_path):
    target = tmp_path / "elsewhere"
    job = pipelines.create(HELLO, outputs={"loud": {"type": "uri_folder", "path": target.as_uri()}})
    state = pipelines.run(job)
    assert state.outputs["loud"].path == target.as_uri()
    assert (target / "loud.txt").read_text() == "HELLO WORLD\n"


FAILS = """
type: pipeline
settings: {continue_on_step_failure: %s}
outputs: {good: {type: uri_folder}}
jobs:
  bad:
    command: echo "no such wine" >&2; exit 3
    outputs: {x: {type: uri_folder}}
  after_bad:
    command: cp -r ${{inputs.x}} ${{outputs.y}}
    inputs: {x: {type: uri_folder, path: "${{parent.jobs.bad.outputs.x}}"}}
    outputs: {y: {type: uri_folder}}
  first:
    command: while [ ! -e %s ]; do sleep 0.05; done; echo 1 > ${{outputs.x}}/one
    outputs: {x: {type: uri_folder}}
  second:
    command: cp ${{inputs.x}}/one ${{outputs.y}}/two
    inputs: {x: {type: uri_folder, path: "${{parent.jobs.first.outputs.x}}"}}
    outputs: {y: "${{parent.outputs.good}}"}
"""


def test_a_step_that_fails_takes_along_only_what_reads_from_it(pipelines, tmp_path):
    (gate := tmp_path / "gate").touch()
    state = pipelines.run(pipelines.create(FAILS % ("true", gate)))
    assert state.status == "Failed"
    assert statuses(state) == {"bad": "Failed", "after_bad": "Canceled", "first": "Completed", "second": "Completed"}
    assert state.error.message.startswith("step 'bad' failed: ")
    assert "no such wine" in state.error.message + state.error.details
    assert state.steps["after_bad"].note == "not run: step 'bad' failed"
    assert text_of(state.outputs["good"], "two") == "1\n"  # a branch that finished can be downloaded


def test_without_continue_on_step_failure_the_first_failure_ends_the_others(pipelines, tmp_path):
    state = pipelines.run(pipelines.create(FAILS % ("false", tmp_path / "never")))
    assert state.status == "Failed"
    assert statuses(state) == {"bad": "Failed", "after_bad": "Canceled", "first": "Canceled", "second": "Canceled"}


def test_a_pipeline_that_is_resumed_runs_only_what_is_missing(pipelines, tmp_path):
    mend = tmp_path / "mended"
    job = pipelines.create(
        f"""
type: pipeline
outputs: {{out: {{type: uri_folder}}}}
jobs:
  once:
    command: echo ran >> {tmp_path}/count; echo 5 > ${{{{outputs.x}}}}/five
    outputs: {{x: {{type: uri_folder}}}}
  later:
    command: test -e {mend} && cp ${{{{inputs.x}}}}/five ${{{{outputs.y}}}}/five
    inputs: {{x: {{type: uri_folder, path: "${{{{parent.jobs.once.outputs.x}}}}"}}}}
    outputs: {{y: "${{{{parent.outputs.out}}}}"}}
"""
    )
    assert pipelines.run(job).status == "Failed"
    mend.touch()
    job = pipelines.store.update_job(job.name, lambda job: job.replaced(status="Failed"))

    pipelines.plane.jobs.resume(job.name, Invocation())
    state = pipelines.run(job)
    assert state.status == "Completed", state.error
    assert (tmp_path / "count").read_text() == "ran\n"
    assert text_of(state.outputs["out"], "five") == "5\n"


SCORES = """
type: pipeline
inputs: {numbers: {type: uri_folder, path: %s}}
outputs: {total: {type: uri_file}}
jobs:
  score:
    type: parallel
    inputs: {numbers: "${{parent.inputs.numbers}}"}
    outputs: {rows: {type: uri_file}}
    input_data: ${{inputs.numbers}}
    retry_settings: {max_retries: 0, timeout: 60}
    task:
      code: %s
      entry_script: score.py
      append_row_to: ${{outputs.rows}}
  total:
    command: wc -l < ${{inputs.rows}} > ${{outputs.total}}
    inputs: {rows: {type: uri_file, path: "${{parent.jobs.score.outputs.rows}}"}}
    outputs: {total: {type: uri_file, path: "${{parent.outputs.total}}"}}
"""


def test_failed_items_of_a_parallel_step_are_tried_again_and_what_read_its_output_runs_again(pipelines, tmp_path):
    (source := tmp_path / "numbers").mkdir()
    (code := tmp_path / "code").mkdir()
    for number in range(4):
        (source / f"{number}.txt").write_text(str(number))
    mended = tmp_path / "mended"
    (code / "score.py").write_text(
        "import pathlib\n"
        "def init(): pass\n"
        "def run(files):\n"
        f"    if '2.txt' in files[0] and not pathlib.Path({str(mended)!r}).exists():\n"
        "        raise ValueError('two')\n"
        "    return [pathlib.Path(file).read_text() for file in files]\n"
    )
    job = pipelines.create(SCORES % (source.as_uri(), code.as_uri()))
    state = pipelines.run(job)
    assert (state.status, state.progress.items_failed, state.rows.written) == ("Completed", 1, 3), state.error
    before = int(text_of(state.outputs["total"]))
    mended.touch()
    pipelines.store.update_job(job.name, lambda job: job.replaced(status="Completed", state=state))
    pipelines.plane.jobs.retry_failed(job.name, Invocation())
    state = pipelines.run(job)
    assert (state.status, state.progress.items_failed, state.rows.written) == ("Completed", 0, 4), state.error
    assert int(text_of(state.outputs["total"])) == before + 1


def counting(tmp_path, word="one", **step):
    """A step that leaves a mark each time it runs, and its job's document."""
    (tmp_path / "code").mkdir(exist_ok=True)
    (tmp_path / "code" / "main.sh").write_text(f"echo {word}; echo ran >> {tmp_path}/count\n")
    command = "sh main.sh > ${{outputs.out}}; cat ${{inputs.data}} >> ${{outputs.out}}"
    component = {"type": "command", "command": command, "code": (tmp_path / "code").as_uri()}
    component |= {"inputs": {"data": {"type": "uri_file"}}, "outputs": {"out": {"type": "uri_file"}}, **step}
    (tmp_path / "data.txt").write_text("data\n") if not (tmp_path / "data.txt").exists() else None
    return {
        "type": "pipeline",
        "inputs": {"data": {"type": "uri_file", "path": (tmp_path / "data.txt").as_uri()}},
        "outputs": {"out": {"type": "uri_file"}},
        "jobs": {
            "work": {
                "component": component,
                "inputs": {"data": "${{parent.inputs.data}}"},
                "outputs": {"out": "${{parent.outputs.out}}"},
            }
        },
    }


def times(tmp_path):
    return len((tmp_path / "count").read_text().splitlines())


def test_a_step_that_did_the_same_before_is_not_run_again(pipelines, tmp_path):
    first = pipelines.plane.jobs.create(counting(tmp_path))
    pipelines.run(first)
    state = pipelines.run(pipelines.plane.jobs.create(counting(tmp_path)))
    assert (state.status, times(tmp_path)) == ("Completed", 1)
    assert state.steps["work"].note == f"reused from job '{first.name}', step 'work'"
    assert text_of(state.outputs["out"]) == "one\ndata\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda path, job: (path / "data.txt").write_text("other\n"),
        lambda path, job: (path / "code" / "main.sh").write_text(f"echo two; echo ran >> {path}/count\n"),
        lambda path, job: job["jobs"]["work"].update(environment_variables={"A": "1"}),
        lambda path, job: job.update(settings={"force_rerun": True}),
        lambda path, job: job["jobs"]["work"]["component"].update(is_deterministic=False),
    ],
    ids=["data", "code", "variable", "force_rerun", "not deterministic"],
)
def test_a_step_that_would_do_something_else_is_run(pipelines, tmp_path, change):
    pipelines.run(pipelines.plane.jobs.create(counting(tmp_path)))
    document = counting(tmp_path)
    change(tmp_path, document)
    state = pipelines.run(pipelines.plane.jobs.create(document))
    assert (state.status, times(tmp_path), state.steps["work"].note) == ("Completed", 2, "")


def test_results_that_are_gone_are_made_again(pipelines, tmp_path):
    first = pipelines.run(pipelines.plane.jobs.create(counting(tmp_path)))
    local_path(first.outputs["out"].path).unlink()
    state = pipelines.run(pipelines.plane.jobs.create(counting(tmp_path)))
    assert (state.status, times(tmp_path)) == ("Completed", 2)


def test_steps_of_another_owner_are_not_reused(pipelines, tmp_path):
    pipelines.run(pipelines.plane.jobs.create(counting(tmp_path), invoker="anna"))
    pipelines.run(pipelines.plane.jobs.create(counting(tmp_path), invoker="ben"))
    assert times(tmp_path) == 2


TWO_KEYS = """
type: pipeline
outputs: {o: {type: uri_file}}
jobs:
  work:
    command: %s > ${{outputs.o}}
    inputs: {data: {type: %s, path: "%s", mode: %s}}
    outputs: {o: "${{parent.outputs.o}}"}
"""


@pytest.mark.parametrize(
    ("command", "kind", "mode"),
    [
        ("basename ${{inputs.data}}", "uri_file", "ro_mount"),
        ("echo ${{inputs.data}}", "uri_folder", "direct"),
    ],
    ids=["the name of a file", "a URI"],
)
def test_what_a_step_can_see_of_its_data_beside_their_bytes_is_no_reason_for_a_wrong_result(
    pipelines, tmp_path, command, kind, mode
):
    seen = []
    for name in ("a.csv", "b.json"):
        path = tmp_path / name
        (path.mkdir(), (path / "x").write_text("same")) if kind == "uri_folder" else path.write_text("same")
        state = pipelines.run(pipelines.create(TWO_KEYS % (command, kind, path.as_uri(), mode)))
        assert state.status == "Completed", state.error
        seen.append(text_of(state.outputs["o"]))
    assert [name in text for name, text in zip(("a.csv", "b.json"), seen, strict=True)] == [True, True]


def test_a_table_of_files_elsewhere_is_read_again(pipelines, tmp_path):
    (source := tmp_path / "elsewhere").mkdir()
    (table := tmp_path / "table").mkdir()
    (code := tmp_path / "code").mkdir()
    (code / "score.py").write_text("def init(): pass\ndef run(files): return files\n")
    (table / "MLTable").write_text(f"paths: [{{folder: {source.as_uri()}}}]\n")
    rows = []
    for name in ("a.txt", "b.txt"):
        (source / name).write_text("1")
        text = SCORES.replace("numbers: {type: uri_folder", "numbers: {type: mltable")
        state = pipelines.run(pipelines.create(text % (table.as_uri(), code.as_uri())))
        assert state.status == "Completed", state.error
        rows.append(state.rows.written)
    assert rows == [1, 2]


def test_results_that_were_changed_are_made_again(pipelines, tmp_path):
    first = pipelines.run(pipelines.plane.jobs.create(counting(tmp_path)))
    local_path(first.outputs["out"].path).write_text("1")
    state = pipelines.run(pipelines.plane.jobs.create(counting(tmp_path)))
    assert (state.status, times(tmp_path), text_of(state.outputs["out"])) == ("Completed", 2, "one\ndata\n")


def test_a_result_of_data_that_changed_while_it_was_made_serves_nobody_else(pipelines, tmp_path):
    document = counting(tmp_path)
    document["jobs"]["work"]["component"]["command"] += f"; echo new > {tmp_path}/data.txt"
    pipelines.run(pipelines.plane.jobs.create(document))
    (tmp_path / "data.txt").write_text("data\n")
    pipelines.run(pipelines.plane.jobs.create(document))
    assert times(tmp_path) == 2


def test_outputs_of_a_job_file_that_state_no_type_have_that_of_their_step(pipelines):
    state = pipelines.run(
        pipelines.create("""
type: pipeline
outputs: {a: , b: {mode: upload}}
jobs:
  write:
    command: echo 1 > ${{outputs.a}}; echo 2 > ${{outputs.b}}
    outputs:
      a: {type: uri_file, path: "${{parent.outputs.a}}"}
      b: {type: uri_file, path: "${{parent.outputs.b}}"}
""")
    )
    assert state.status == "Completed", state.error
    assert (text_of(state.outputs["a"]), text_of(state.outputs["b"])) == ("1\n", "2\n")


PLACES = """
type: pipeline
settings: {default_datastore: azureml:lake}
outputs: {table: {type: uri_file, path: "azureml://datastores/${{default_datastore}}/paths/${{name}}/table.jsonl"}}
inputs: {numbers: {type: uri_folder, path: %s}}
jobs:
  score:
    type: parallel
    inputs: {numbers: "${{parent.inputs.numbers}}"}
    outputs: {rows: {path: "${{parent.outputs.table}}"}}
    input_data: ${{inputs.numbers}}
    task: {code: %s, entry_script: score.py, append_row_to: "${{outputs.rows}}"}
  write:
    command: basename ${{outputs.text}} > ${{outputs.text}}; echo 2 > ${{outputs.folder}}/two; echo ran >> %s
    outputs:
      text: {type: uri_file, path: "azureml://datastores/${{default_datastore}}/paths/${{name}}/returns.csv"}
      folder: {type: uri_folder, path: "azureml://datastores/lake/paths/${{name}}/folder/"}
  read:
    command: cat ${{inputs.text}} ${{inputs.folder}}/two
    inputs:
      text: {type: uri_file, path: "${{parent.jobs.write.outputs.text}}"}
      folder: ${{parent.jobs.write.outputs.folder}}
"""


@pytest.fixture
def places(pipelines, tmp_path):
    """A pipeline whose steps send their outputs to a datastore."""
    (tmp_path / "lake").mkdir()
    (source := tmp_path / "numbers").mkdir()
    (source / "1").write_text("1")
    (code := tmp_path / "code").mkdir()
    (code / "score.py").write_text("def init(): pass\ndef run(files): return files\n")
    lake = (tmp_path / "lake").as_uri()
    pipelines.plane.assets.put("datastores", Datastore(name="lake", type="uri", uri=lake))
    return PLACES % (source.as_uri(), code.as_uri(), tmp_path / "count")


def test_outputs_of_steps_get_to_their_own_places(pipelines, tmp_path, places):
    job = pipelines.create(places, name="monday")
    state = pipelines.run(job)
    assert state.status == "Completed", state.error
    found = {str(path.relative_to(tmp_path / "lake")) for path in (tmp_path / "lake").rglob("*") if path.is_file()}
    assert found == {"monday/table.jsonl", "monday/returns.csv", "monday/folder/two"}
    assert (tmp_path / "lake/monday/returns.csv").read_text() == "returns.csv\n"  # its name from the beginning
    assert (tmp_path / "lake/monday/table.jsonl").read_text().startswith("{")
    child = pipelines.folder(job).files.read("steps/write/report.json").decode()
    assert (tmp_path / "lake/monday/returns.csv").as_uri() in child


def test_an_output_of_a_step_replaces_nothing_unless_asked(pipelines, tmp_path, places):
    (tmp_path / "lake/monday").mkdir()
    (theirs := tmp_path / "lake/monday/returns.csv").write_text("theirs")
    with pytest.raises(Conflict, match="exists already"):
        pipelines.create(places, name="monday")
    theirs.unlink()
    job = pipelines.create(places, name="monday")
    theirs.write_text("theirs")  # meanwhile
    assert pipelines.run(job).error.message.endswith("exists already")
    assert theirs.read_text() == "theirs"


def test_an_output_that_is_reused_gets_to_its_own_place_too(pipelines, tmp_path, places):
    for name in ("monday", "tuesday"):
        state = pipelines.run(pipelines.create(places, name=name))
        assert state.status == "Completed", state.error
        assert (tmp_path / f"lake/{name}/folder/two").read_text() == "2\n"
    assert times(tmp_path) == 1
    (tmp_path / "lake/monday/folder/two").write_text("3")  # the copy is its owner's
    state = pipelines.run(pipelines.create(places, name="wednesday"))
    assert (tmp_path / "lake/wednesday/folder/two").read_text() == "2\n"


def test_a_driver_that_follows_another_one_copies_outputs_that_are_not_at_their_places_and_no_others(
    pipelines, tmp_path, places
):
    job = pipelines.create(places, name="monday")
    pipelines.run(job)
    folder = pipelines.folder(job)
    folder.files.delete("report.json")
    folder.files.delete("steps/score/placed.json") if folder.files.exists("steps/score/placed.json") else None
    (tmp_path / "lake/monday/folder/two").write_text("mine since")
    assert run_pipeline(folder, LocalCommands, LocalRunner).status == "Completed"
    assert (tmp_path / "lake/monday/folder/two").read_text() == "mine since"
    folder.files.delete("report.json")
    folder.files.delete("steps/write/placed.json")
    assert run_pipeline(folder, LocalCommands, LocalRunner).status == "Completed"
    assert (tmp_path / "lake/monday/folder/two").read_text() == "2\n"
    assert times(tmp_path) == 1


def test_without_a_default_datastore_outputs_stay_in_the_job_and_it_says_so(pipelines, tmp_path, places):
    text = places.replace("settings: {default_datastore: azureml:lake}", "")
    state = pipelines.run(pipelines.create(text, name="monday"))
    assert state.status == "Completed", state.error
    assert any("there is no settings.default_datastore" in note for note in state.notes)
    assert not (tmp_path / "lake/monday/returns.csv").exists()


def test_two_outputs_with_one_place_are_refused(pipelines, places):
    with pytest.raises(InvocationError, match="is the place of two outputs: 'text' of step 'write' and"):
        pipelines.create(places.replace("/folder/", "/returns.csv"), name="monday")


def test_an_output_of_a_step_that_cannot_be_written_fails_that_step(pipelines, tmp_path):
    (tmp_path / "file").write_text("")
    state = pipelines.run(
        pipelines.create(f"""
type: pipeline
jobs:
  write: {{command: "echo > ${{{{outputs.o}}}}/x", outputs: {{o: {{path: "{(tmp_path / "file").as_uri()}/below"}}}}}}
""")
    )
    assert state.status == "Failed"
    assert statuses(state) == {"write": "Failed"}
    assert "cannot be written" in state.error.message


def test_a_step_has_the_compute_that_it_states_unless_the_job_states_one(pipelines):
    pipelines.plane.assets.put("computes", Compute(name="big"))
    pipelines.plane.assets.put("computes", Compute(name="small"))
    document = yaml.safe_load(HELLO)
    document["jobs"]["shout"]["compute"] = "azureml:big"
    job = pipelines.plane.jobs.create({**document, "compute": "small"})
    pipelines.run(job)
    folder = pipelines.folder(job)
    written = [CommandJob.model_validate_json(folder.files.read(f"steps/{s}/job.json")) for s in ("greet", "shout")]
    names = [step.compute.name for step in written]
    assert names == ["small", "big"]


WRITES = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--side")
side = parser.parse_args().side
def init(): pass
def run(files):
    found = []
    for place in (files[0], os.path.join(side, "word.txt"), os.path.join(side, "new.txt")):
        try:
            open(place, "a").write("mine")
            found.append("written")
        except OSError:
            found.append("refused")
    return [" ".join(found)] * len(files)
"""


@pytest.mark.skipif(not can_protect(), reason="paths cannot be made read-only here")
def test_a_parallel_step_can_write_to_none_of_its_inputs(pipelines, tmp_path):
    for name in ("numbers", "side", "code"):
        (tmp_path / name).mkdir()
    (tmp_path / "numbers/1.txt").write_text("1")
    (tmp_path / "side/word.txt").write_text("word")
    (tmp_path / "code/score.py").write_text(WRITES)
    document = yaml.safe_load(SCORES % ((tmp_path / "numbers").as_uri(), (tmp_path / "code").as_uri()))
    score = document["jobs"]["score"]
    score["inputs"]["side"] = {"type": "uri_folder", "path": (tmp_path / "side").as_uri()}
    score["task"]["program_arguments"] = "--side ${{inputs.side}}"
    document["jobs"]["total"]["command"] = "cat ${{inputs.rows}} > ${{outputs.total}}"
    state = pipelines.run(pipelines.plane.jobs.create(document))
    assert state.status == "Completed", state.error
    assert "refused refused refused" in text_of(state.outputs["total"])
    assert (tmp_path / "numbers/1.txt").read_text() == "1"
    assert [path.name for path in (tmp_path / "side").iterdir()] == ["word.txt"]


def test_a_driver_that_is_told_to_end_leaves_nothing_that_would_end_the_steps_of_the_next_one(
    pipelines, tmp_path, monkeypatch
):
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    (source := tmp_path / "numbers").mkdir()
    (code := tmp_path / "code").mkdir()
    for number in range(4):
        (source / f"{number}.txt").write_text(str(number))
    (code / "score.py").write_text(
        "import pathlib, time\n"
        "def init(): pass\n"
        "def run(files):\n"
        f"    pathlib.Path({str(begun)!r}).touch()\n"
        f"    while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)\n"
        "    return [pathlib.Path(file).read_text() for file in files]\n"
    )
    job = pipelines.create(SCORES % (source.as_uri(), code.as_uri()))
    wait = run_graph._GraphRun._wait

    def told_to_end(run):
        wait(run)
        if begun.exists():
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(run_graph._GraphRun, "_wait", told_to_end)
        with pytest.raises(Stopped):
            pipelines.run(job)
    gate.touch()
    state = pipelines.run(job)
    assert (state.status, state.rows.written) == ("Completed", 4), state.error
    assert int(text_of(state.outputs["total"])) == 5  # with the header
