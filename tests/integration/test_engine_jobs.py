"""Whole jobs on this machine: what is in the output, in which order, and what the report says."""

import errno
import json
import os
import re
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from job_folders import ECHO, Job, noting

from batch_endpoints.engine.driver import progress, run_job, scoring_rounds
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.planning.job_plan import plan_job
from batch_endpoints.storage.inputs.listing import list_files
from batch_endpoints.storage.outputs.claims import claim
from batch_endpoints.storage.outputs.named_output import NamedOutput, named_output


def counts(state):
    done = state.progress
    return done.items, done.items_succeeded, done.items_failed


def test_rows_are_in_the_order_of_the_files_however_many_workers_there_are(tmp_path):
    names = ["b/2.txt", "b/10.txt", "a.txt", "c/d/e.txt", "z.txt", "b/1.txt"] + [f"m/{n}.txt" for n in range(60)]
    job = Job(tmp_path, files=names, settings={"mini_batch_size": 4, "max_concurrency_per_instance": 3})

    state = job.run()

    assert state.status == "Completed", state.error
    assert [row["file"] for row in job.rows()] == sorted(names)
    assert [row["prediction"] for row in job.rows()] == [os.path.basename(name) for name in sorted(names)]
    assert counts(state) == (66, 66, 0)
    assert state.progress.mini_batches_done == state.progress.mini_batches == 17
    assert state.progress.rows == 66
    assert set(state.seconds) == {"environment", "list", "first_mini_batch", "scoring", "finalizing"}
    assert job.failed_items() == []


def test_one_file_as_the_input(tmp_path):
    job = Job(tmp_path, files=3)
    spec = {**job.spec, "inputs": {"data": {"type": "uri_file", "path": (job.input / "001.txt").as_uri()}}}
    (job.folder / "job.json").write_text(json.dumps(spec))

    assert job.run().status == "Completed"
    assert job.rows() == [{"prediction": "001.txt", "file": "001.txt"}]


TABLE = """
import os
def run(mini_batch):
    return [{"file": os.path.basename(file), "p": 0.5, "tags": ["x", "y"]} for file in mini_batch]
"""


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("out.jsonl", lambda path: [json.loads(line) for line in path.read_text().splitlines()]),
        ("out.parquet", lambda path: pyarrow.parquet.read_table(path).to_pylist()),
        ("out.arrow", lambda path: pa.ipc.open_file(path).read_all().to_pylist()),
        (
            "out.csv",
            lambda path: [
                {**row, "p": float(row["p"]), "tags": json.loads(row["tags"])}
                for row in pd.read_csv(path).to_dict("records")
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_format_follows_the_name_of_the_output(tmp_path, name, read):
    job = Job(tmp_path, TABLE, files=3, settings={"output_file_name": name})

    assert job.run().status == "Completed"

    assert read(job.output / name) == [{"file": f"00{n}.txt", "p": 0.5, "tags": ["x", "y"]} for n in range(3)]
    assert os.listdir(job.output) == [name]


def test_an_output_goes_where_the_job_says_by_folder_or_by_file(tmp_path):
    first = Job(tmp_path / "1", outputs={"mine": {"type": "uri_folder", "path": (tmp_path / "out").as_uri()}})
    other = Job(tmp_path / "2", outputs={"mine": {"type": "uri_file", "path": (tmp_path / "out/rows.csv").as_uri()}})

    assert first.run().outputs["mine"].path == (tmp_path / "out").as_uri()
    assert other.run().status == "Completed"

    assert sorted(os.listdir(tmp_path / "out")) == ["predictions.csv", "rows.csv"]


@pytest.mark.parametrize(
    ("settings", "notes"),
    [
        ({"output_file_name": "p2.csv"}, ["the rows are in 'rows.csv', the file that the output 'mine' names"]),
        ({"output_file_name": "rows.csv"}, []),
        ({"output_file_name": "predictions.csv"}, []),  # what Azure ML's files say without being asked
        ({}, []),
    ],
    ids=["another", "the same", "Azure's own", "none"],
)
def test_a_file_that_the_output_names_wins_over_the_settings_name_and_a_note_says_so(tmp_path, settings, notes):
    rows = {"type": "uri_file", "path": (tmp_path / "out" / "rows.csv").as_uri()}
    state = Job(tmp_path, files=1, outputs={"mine": rows}, settings=settings).run()
    assert state.status == "Completed", state.error
    assert [note.partition(", and not")[0] for note in state.notes] == notes
    assert os.listdir(tmp_path / "out") == ["rows.csv"]


FILES = """
import os
def run(mini_batch):
    for file in mini_batch:
        name = os.path.basename(file)
        folder = os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "deep")
        os.makedirs(folder, exist_ok=True)
        for target in ("same.txt", f"own-{name}"):
            with open(os.path.join(folder, target), "w") as out:
                out.write(name)
        if name == "002.txt":
            raise ValueError("odd")
    return mini_batch
"""


def test_files_of_a_script_are_in_the_output_but_not_those_of_failed_tries(tmp_path):
    job = Job(tmp_path, FILES, files=4, settings={"output_action": "summary_only"})

    state = job.run()

    kept = {path.name: path.read_text() for path in job.output.rglob("*") if path.is_file()}
    assert kept == {
        "same.txt": "000.txt",
        "same-2.txt": "001.txt",
        "same-3.txt": "003.txt",
        "own-000.txt": "000.txt",
        "own-001.txt": "001.txt",
        "own-003.txt": "003.txt",
    }
    assert counts(state) == (4, 3, 1)
    assert any("kept as 'deep/same-2.txt'" in note for note in state.notes)


def test_a_retry_keeps_the_files_of_the_mini_batches_before_it(tmp_path):
    script = FILES.replace('raise ValueError("odd")', "tried.append(1); assert len(tried) > 1").replace(
        "import os\n", "import os\ntried = []\n"
    )
    job = Job(tmp_path, script, files=64, settings={"retry_settings": {"max_retries": 1}})

    state = job.run()

    assert counts(state) == (64, 64, 0)
    assert len(list(job.output.rglob("own-*.txt"))) == 64
    assert len(list(job.output.rglob("same*.txt"))) == 64
    assert state.notes == (
        "files of scripts under other names: 63; the first, 'deep/same.txt', is kept as 'deep/same-2.txt': "
        "two mini-batches wrote it; renamed_files.jsonl in the job folder has all",
    )
    assert state.renamed_files.count == len(state.renamed_files.first) == 63
    lines = (job.folder / "renamed_files.jsonl").read_text().splitlines()
    assert json.loads(lines[62]) == {
        "file": "deep/same.txt",
        "kept_as": "deep/same-64.txt",
        "reason": "two mini-batches wrote it",
        "mini_batch": 63,
        "input_files": ["063.txt"],
        "first": {"mini_batch": 0, "input_files": ["000.txt"]},
    }


def test_summary_only_writes_no_rows(tmp_path):
    job = Job(tmp_path, settings={"output_action": "summary_only"})

    state = job.run()

    assert counts(state) == (10, 10, 0)
    assert state.progress.rows == 0
    assert list(job.output.iterdir()) == []
    assert list(job.folder.glob("parts/*")) == []


SOME_BAD = """
import os
def run(mini_batch):
    bad = [file for file in mini_batch if int(os.path.basename(file)[:3]) % 4 == 3]
    if bad:
        raise ValueError(f"no good: {os.path.basename(bad[0])}")
    return mini_batch
"""


@pytest.mark.parametrize(
    ("error_threshold", "status"),
    [(-1, "Completed"), (3, "Completed"), (2, "Completed"), (1, "Failed"), (0, "Failed")],
)
def test_a_job_fails_when_more_items_failed_than_the_threshold_allows(tmp_path, error_threshold, status):
    job = Job(tmp_path, SOME_BAD, files=9, settings={"error_threshold": error_threshold})

    state = job.run()

    assert state.status == status
    assert (state.progress.items_failed > error_threshold >= 0) is (status == "Failed")
    assert len(job.failed_items()) == state.progress.items_failed
    if status == "Failed":
        assert re.match(
            r"score\.py:6: ValueError: no good: 003\.txt \(seen in [12] of \d+ mini-batches\)", state.error.message
        )
        assert f"more than error_threshold ({error_threshold}) allows" in state.error.details
        assert not job.output.exists()
    else:
        assert [row["file"] for row in job.rows()] == [f"00{n}.txt" for n in (0, 1, 2, 4, 5, 6, 8)]


def test_a_job_ends_soon_when_too_much_has_failed_whatever_its_workers_are_at(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(scoring_rounds, "STOP_SECONDS", 0.2)
    script = f"""
    import os, time
    {noting(tmp_path)}
    def run(mini_batch):
        name = os.path.basename(mini_batch[0])
        if name == "000.txt":
            return mini_batch
        if name == "001.txt":
            raise ValueError("odd")
        note(str(os.getpid()))
        time.sleep(600)
    """
    settings = {"error_threshold": 0, "max_concurrency_per_instance": 2, "retry_settings": {"timeout": 600}}
    job = Job(tmp_path, script, files=300, settings=settings)
    began = time.monotonic()

    state = job.run()

    assert time.monotonic() - began < 200
    assert state.status == "Failed"
    assert state.error.message.startswith("score.py:9: ValueError: odd")
    assert [item["file"] for item in job.failed_items()] == ["001.txt"]
    assert state.progress.items_succeeded == 1
    assert not [pid for pid in job.calls() if os.path.exists(f"/proc/{pid}")]


def test_a_job_in_which_nothing_succeeded_has_failed_whatever_the_threshold(tmp_path):
    job = Job(tmp_path, "def run(mini_batch):\n  raise OSError('no disk')", files=3)

    state = job.run()

    assert state.status == "Failed"
    assert state.error.message == "score.py:2: OSError: no disk (seen in 3 of 3 mini-batches)"
    assert "There is no succeeded mini batch item returned from run()" in state.error.details
    assert [item["file"] for item in job.failed_items()] == ["000.txt", "001.txt", "002.txt"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_script_that_cannot_be_loaded_fails_the_job_once(tmp_path, workers):
    script = f"{noting(tmp_path)}\ndef init():\n  note('init')\n  raise ValueError('no model')\ndef run(b): return b"
    job = Job(
        tmp_path,
        script,
        files=200,
        settings={"max_concurrency_per_instance": workers, "retry_settings": {"max_retries": 3}},
    )

    state = job.run()

    assert state.status == "Failed"
    assert (state.error.code, state.error.message) == ("InitFailed", "score.py:4: ValueError: no model")
    assert "in init" in state.error.details
    assert 1 <= len(job.calls()) <= workers
    assert counts(state) == (200, 0, 0)


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        ({"model": {"name": "m", "path": "file:///no/such/model"}}, "'file:///no/such/model' does not exist"),
        ({"environment": {"name": "e", "python": "/no/python"}}, "python '/no/python' is not a program"),
        ({"settings": {"mini_batch_size": "5 rows"}}, "mini_batch_size '5 rows' cuts within files"),
    ],
    ids=["model", "interpreter", "mini_batch_size"],
)
def test_a_job_that_cannot_be_prepared_fails_with_what_is_wrong(tmp_path, breaking, message):
    state = Job(tmp_path, deployment=breaking).run()

    assert state.status == "Failed"
    assert message in state.error.message


@pytest.mark.parametrize(
    ("path", "message"), [("nowhere", "does not exist"), ("empty", "is a folder without files")], ids=lambda x: x
)
def test_an_input_without_files_fails_the_job(tmp_path, path, message):
    (tmp_path / "empty").mkdir()
    job = Job(tmp_path, inputs={"data": {"path": (tmp_path / path).as_uri()}})

    state = job.run()

    assert (state.status, state.error.code) == ("Failed", "InvalidInput")
    assert message in state.error.message


def test_a_file_that_went_away_is_one_failed_item_and_the_others_are_scored(tmp_path):
    job = Job(tmp_path, files=6, settings={"mini_batch_size": 2})
    root, files, _ = list_files(job.input.as_uri())
    job.job_folder.write_plan(plan_job(root, files, 2, 1))
    (job.input / "004.txt").unlink()

    state = job.run()

    assert counts(state) == (6, 5, 1)
    (failed,) = job.failed_items()
    assert failed["file"] == "004.txt"
    assert "it is gone" in failed["reason"]


def test_an_existing_output_is_refused_before_anything_is_scored_unless_it_may_be_replaced(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "predictions.csv").write_text("precious")
    outputs = {"score": {"path": target.as_uri()}}

    careful = Job(tmp_path / "1", noting(tmp_path / "1") + "\n" + ECHO + "\nnote('x')", outputs=outputs)
    state = careful.run()

    assert (state.status, state.error.code) == ("Failed", "Conflict")
    assert careful.calls() == []
    assert (target / "predictions.csv").read_text() == "precious"

    assert Job(tmp_path / "2", files=1, outputs=outputs, overwrite=True).run().status == "Completed"
    assert pd.read_csv(target / "predictions.csv").to_dict("records") == [
        {"prediction": "000.txt", "file": "000.txt"}
    ]


def test_of_two_jobs_with_one_output_the_first_keeps_it_and_lets_go_of_it_at_its_end(tmp_path):
    """Both found nothing there when they began."""
    outputs = {"score": {"path": (tmp_path / "out").as_uri()}}
    second = Job(tmp_path / "2", ECHO, files=1, outputs=outputs)
    waits = f"""
import os, time
{noting(tmp_path / "1")}
def run(mini_batch):
    note("there")
    while not os.path.exists({str(tmp_path / "gate")!r}): time.sleep(0.02)
    return mini_batch
"""
    first = Job(tmp_path / "1", waits, files=1, outputs=outputs, settings={"retry_settings": {"timeout": 600}})
    with first.started_until("there") as process:
        refused = second.run()
        process.kill()
    (tmp_path / "gate").touch()

    assert (refused.status, refused.error.code) == ("Failed", "Conflict")
    assert f"the job in '{first.folder.as_uri()}' is about to write" in refused.error.message
    assert first.run().status == "Completed", "another driver of the same job goes on"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.csv"]


def test_the_claim_of_a_job_that_has_ended_without_giving_it_up_is_not_in_the_way(tmp_path):
    outputs = {"score": {"path": (tmp_path / "out").as_uri()}}
    gone = Job(tmp_path / "1", files=1, outputs=outputs)
    claim(named_output(gone.job_folder.job(), gone.folder.as_uri()), gone.job_folder)
    gone.job_folder.ask_to_cancel()

    assert Job(tmp_path / "2", files=1, outputs=outputs).run().status == "Completed"


def resume(job, **changes):
    spec = {**json.loads((job.folder / "job.json").read_text()), "resumption": 1, **changes}
    (job.folder / "job.json").write_text(json.dumps(spec))
    return job.run()


def test_a_resumed_job_does_not_write_over_what_another_has_written_since_it_failed(tmp_path):
    outputs = {"score": {"path": (tmp_path / "out").as_uri()}}
    failing = f"""
import os
def run(mini_batch):
    assert os.path.exists({str(tmp_path / "ok")!r})
    return mini_batch
"""
    first = Job(tmp_path / "1", failing, files=1, outputs=outputs)
    assert first.run().status == "Failed"
    assert Job(tmp_path / "2", files=1, outputs=outputs).run().status == "Completed"
    written = (tmp_path / "out" / "predictions.csv").read_text()

    (tmp_path / "ok").touch()
    state = resume(first, retries=1)

    assert (state.status, state.error and state.error.code) == ("Failed", "Conflict")
    assert (tmp_path / "out" / "predictions.csv").read_text() == written


@pytest.fixture
def broken_off(tmp_path, monkeypatch):
    """A job that has failed while it wrote its output, all of which is there."""
    job = Job(tmp_path / "1", files=1, outputs={"score": {"path": (tmp_path / "out").as_uri()}})
    write = NamedOutput.write

    def write_and_fail(*arguments):
        write(*arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(NamedOutput, "write", write_and_fail)
        assert job.run().error.code == "OutputFailed"
    return job


def test_a_job_that_failed_while_it_wrote_its_output_writes_it_again(tmp_path, broken_off):
    assert resume(broken_off).status == "Completed"
    assert os.listdir(tmp_path / "out") == ["predictions.csv"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_job_that_had_begun_its_output_does_not_write_over_that_of_another(tmp_path, broken_off, overwrite):
    place = tmp_path / "out" / "predictions.csv"
    outputs = {"score": {"path": (tmp_path / "out").as_uri()}}
    other = Job(tmp_path / "2", files=2, outputs=outputs, overwrite=overwrite)
    if not overwrite:
        assert other.run().error.code == "Conflict", "what has broken off is in its way"
        place.unlink()
        other = Job(tmp_path / "3", files=2, outputs=outputs)
    assert other.run().status == "Completed"
    assert os.listdir(tmp_path / "out") == ["predictions.csv"]
    written = place.read_text()

    for resumption in (1, 2):
        state = resume(broken_off, resumption=resumption)

        assert (state.status, state.error and state.error.code) == ("Failed", "Conflict")
        assert f"the job in '{other.folder.as_uri()}' has written" in state.error.message
        assert place.read_text() == written

    place.unlink()
    assert resume(broken_off, resumption=3).status == "Completed"
    assert len(pd.read_csv(place)) == 1
    assert os.listdir(tmp_path / "out") == ["predictions.csv"]


def test_a_job_whose_output_is_replaced_while_it_runs_does_not_write_over_that(tmp_path):
    outputs = {"score": {"path": (tmp_path / "out").as_uri()}}
    replacing = Job(tmp_path / "2", files=2, outputs=outputs, overwrite=True)
    job = Job(tmp_path / "1", files=1, outputs=outputs)

    def runner(folder):
        assert replacing.run().status == "Completed"
        return LocalRunner(folder)

    state = job.run(runner)

    assert (state.status, state.error and state.error.code) == ("Failed", "Conflict")
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == 2


def test_a_driver_lost_while_it_wrote_the_output_is_followed_by_one_that_writes_it_again(tmp_path, monkeypatch):
    job = Job(tmp_path, files=1, outputs={"score": {"path": (tmp_path / "out").as_uri()}})
    monkeypatch.setattr(run_job, "write_renamed", lambda files, renamed: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        job.run()
    monkeypatch.undo()
    assert (tmp_path / "out" / "predictions.csv").exists()

    assert job.run().status == "Completed"


def test_an_output_that_cannot_be_written_fails_the_job_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("in the way")
    job = Job(tmp_path, files=1, outputs={"score": {"path": (tmp_path / "file" / "out").as_uri()}})

    state = job.run()

    assert (state.status, state.error.code) == ("Failed", "OutputFailed")
    assert "Not a directory" in state.error.message


def test_an_output_that_cannot_be_written_names_the_file_that_is_in_the_way(tmp_path):
    job = Job(tmp_path, files=1, outputs={"score": {"path": (tmp_path / "out").as_uri()}}, overwrite=True)
    (tmp_path / "out" / "predictions.csv").mkdir(parents=True)

    state = job.run()

    assert (state.status, state.error.code) == ("Failed", "OutputFailed")
    assert f"It is about '{tmp_path / 'out' / 'predictions.csv'}'" in state.error.details


def test_two_files_of_the_longest_name_are_both_in_the_output(tmp_path):
    script = """
    import os
    def run(mini_batch):
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "x" * 251 + ".txt"), "w") as file:
            file.write(os.path.basename(mini_batch[0]))
        return mini_batch
    """
    job = Job(tmp_path, script, files=2)

    assert job.run().status == "Completed", job.report()
    assert {path.name: path.read_text() for path in job.output.glob("x*")} == {
        "x" * 251 + ".txt": "000.txt",
        "x" * 249 + "-2.txt": "001.txt",
    }


def test_types_that_differ_between_mini_batches_come_together_in_one_output(tmp_path):
    script = """
    import os, pandas as pd
    def run(mini_batch):
        n = int(os.path.basename(mini_batch[0])[:3])
        frame = pd.DataFrame({"file": [mini_batch[0][-7:]], "kind": pd.Categorical([f"k{n}"])})
        frame["value"] = [1, 2.5, "x"][n]
        return frame if n else frame.assign(extra=True)
    """
    job = Job(tmp_path, script, files=3)

    assert job.run().status == "Completed", job.report()
    assert [(row["kind"], row["value"], row["extra"]) for row in job.rows()] == [
        ("k0", "1", "true"),
        ("k1", "2.5", ""),
        ("k2", "x", ""),
    ]


def test_whole_numbers_beyond_those_of_other_mini_batches_are_all_in_the_output(tmp_path):
    script = """
    import os, pandas as pd
    def run(mini_batch):
        name = os.path.basename(mini_batch[0])
        return pd.DataFrame({"file": [name], "id": [2**63 + 5 if name == "000.txt" else -7]})
    """
    job = Job(tmp_path, script, files=2)

    assert job.run().status == "Completed"
    assert [row["id"] for row in job.rows()] == [str(2**63 + 5), "-7"]


ODD_FILES = """
import os
from pathlib import Path
OUTPUT = Path(os.environ["AZUREML_BI_OUTPUT_PATH"])
def init():
    os.makedirs(OUTPUT / "made")
    (OUTPUT / "made" / "labels.txt").write_text("a b c")
def run(mini_batch):
    name = os.path.basename(mini_batch[0])
    if name == "000.txt":
        (OUTPUT / "x").write_text(name)
    if name == "001.txt":
        (OUTPUT / "half").mkdir()
        os._exit(1)
    if name == "002.txt":
        (OUTPUT / "x").mkdir()
        (OUTPUT / "x" / "y").write_text(name)
        os.symlink(mini_batch[0], OUTPUT / "input")
        (OUTPUT / "latest").symlink_to("x/y")
        with open(os.fsencode(OUTPUT) + b"/\\xff", "w") as file:
            file.write(name)
    return [name]
"""


def test_a_script_that_writes_odd_files_and_crashes_loses_no_other_mini_batch_and_none_of_its_files(tmp_path):
    job = Job(tmp_path, ODD_FILES, files=4)
    state = job.run()
    assert state.status == "Completed", state.error
    assert [failed["file"] for failed in job.failed_items()] == ["001.txt"]
    found = {path.relative_to(job.output).as_posix(): path.read_text() for path in job.output.rglob("*.*")}
    found |= {name: (job.output / name).read_text() for name in ("x", "x-2/y", "latest", "\\udcff")}
    del found["predictions.csv"]
    assert found == {
        "made/labels.txt": "a b c",
        "x": "000.txt",
        "x-2/y": "002.txt",
        "latest": "002.txt",
        "\\udcff": "002.txt",
    }
    for told in ("'input', which is a link to a file outside", "not UTF-8", "'x/y', is kept as 'x-2/y'"):
        assert any(told in note for note in state.notes), state.notes


def test_a_job_whose_parts_cannot_be_written_fails_with_the_reason_and_is_resumed(tmp_path, monkeypatch):
    def full(files, path):
        raise OSError(errno.ENOSPC, "No space left on device", path)

    job = Job(tmp_path, files=4)
    with monkeypatch.context() as patched:
        patched.setattr("batch_endpoints.storage.outputs.rows.table_writer", lambda format: full)
        state = job.run()
    assert (state.status, state.error.code, job.commits()) == ("Failed", "StoreUnavailable", [])
    assert re.match(r"worker '.+' cannot go on: \[Errno 28\] No space left on device", state.error.message)
    assert "job resume" in state.error.details
    job.job_folder.write_job(job.job_folder.job().model_copy(update={"resumption": 1}))
    assert job.run().progress.items_succeeded == 4


def test_a_job_whose_output_finds_its_disk_full_fails_with_the_reason_and_its_resumption_writes_it(
    tmp_path, monkeypatch
):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "predictions.csv")

    job = Job(tmp_path, files=4)
    with monkeypatch.context() as patched:
        patched.setattr("batch_endpoints.storage.outputs.named_output.write_rows", full)
        state = job.run()
    assert (state.status, state.error.code) == ("Failed", "OutputFailed")
    assert state.error.message.endswith("cannot be written: No space left on device")
    assert "'predictions.csv'" in state.error.details
    assert "job resume" in state.error.details
    job.job_folder.write_job(job.job_folder.job().model_copy(update={"resumption": 1}))
    assert job.run().status == "Completed"
    assert len(job.rows()) == 4
