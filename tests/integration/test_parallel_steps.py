"""Parallel steps on this machine: a model deployment's engine, with arguments, side inputs and several outputs."""

import json
import os

import pandas as pd
import pytest
from job_folders import ECHO, Job
from parallel_steps import Step


def test_a_script_gives_the_same_rows_as_a_step_and_as_a_model_deployment(tmp_path):
    settings = {"mini_batch_size": 3, "max_concurrency_per_instance": 2}
    deployed = Job(tmp_path / "model", files=20, settings=settings)
    step = Step(tmp_path / "step", ECHO, files=20, **settings)

    first, other = deployed.run(), step.run()

    assert (first.status, other.status) == ("Completed", "Completed"), other.error
    assert (step.output / "predictions.csv").read_bytes() == (deployed.output / "predictions.csv").read_bytes()
    assert len(step.rows()) == 20
    assert first.columns == other.columns
    assert (first.files, first.items, first.rows) == (other.files, other.items, other.rows)


ARGUMENTS = """
import argparse, json, os, sys
def init():
    global arguments, table
    parser = argparse.ArgumentParser()
    for name in ("table", "text", "flag", "number", "optional", "folder"):
        parser.add_argument("--" + name)
    arguments, _ = parser.parse_known_args()
    table = open(os.path.join(arguments.table, "table.txt")).read()
def run(mini_batch):
    for file in mini_batch:
        with open(os.path.join(arguments.folder, os.path.basename(file)), "w") as copy:
            copy.write(table)
    row = [arguments.text, arguments.flag, arguments.number, arguments.optional, table]
    return [json.dumps(row)] * len(mini_batch)
"""


def test_arguments_are_local_paths_and_the_text_of_literals_each_in_one_word(tmp_path):
    (tmp_path / "side").mkdir()
    (tmp_path / "side" / "table.txt").write_text("of the side input")
    nasty = """a 'b' "c" $HOME `id` ; ${{inputs.flag}} \\ --optional=x"""
    step = Step(
        tmp_path,
        ARGUMENTS,
        files=2,
        inputs={
            "table": {"type": "uri_folder", "path": (tmp_path / "side").as_uri()},
            "text": {"type": "string", "value": nasty},
            "flag": {"type": "boolean", "value": True},
            "number": {"type": "string", "value": 7},
            "optional": {"type": "string"},
        },
        outputs={"rows": {"type": "uri_folder"}, "files": {"type": "uri_folder"}},
        task={
            "program_arguments": "--table ${{inputs.table}} --text ${{ inputs.text }} --flag ${{inputs.flag}}\n"
            "--number=${{inputs.number}} $[[--optional ${{inputs.optional}}]] --folder '${{outputs.files}}' "
            "--allowed_failed_percent 30"
        },
    )

    state = step.run()

    assert state.status == "Completed", state.error
    row = json.dumps([nasty, "True", "7", None, "of the side input"])
    assert [one["prediction"] for one in step.rows()] == [row, row]
    assert {name: output.path for name, output in state.outputs.items()} == {
        "rows": (step.folder / "named-outputs" / "rows").as_uri(),
        "files": (step.folder / "named-outputs" / "files").as_uri(),
    }
    written = {file.name: file.read_text() for file in (step.folder / "named-outputs" / "files").iterdir()}
    assert written == {"000.txt": "of the side input", "001.txt": "of the side input"}
    assert os.listdir(step.output) == ["predictions.csv"]


def test_side_inputs_cannot_be_changed_by_the_script(tmp_path):
    (tmp_path / "side").mkdir()
    (tmp_path / "side" / "table.txt").write_text("as it was")
    step = Step(
        tmp_path,
        """
        import os, sys
        def init():
            path = os.path.join(sys.argv[1], "table.txt")
            try:
                os.chmod(path, 0o644)
                open(path, "w").write("changed")
            except OSError:
                pass
        def run(mini_batch):
            return mini_batch
        """,
        files=1,
        inputs={"table": {"type": "uri_folder", "path": (tmp_path / "side").as_uri()}},
        task={"program_arguments": "${{inputs.table}}"},
    )

    assert step.run().status == "Completed"
    assert (tmp_path / "side" / "table.txt").read_text() == "as it was"


def test_the_output_with_the_rows_is_the_file_that_it_names(tmp_path):
    path = tmp_path / "out" / "aggregated_returns.csv"
    step = Step(tmp_path, ECHO, files=2, outputs={"rows": {"type": "uri_file", "path": path.as_uri()}})

    state = step.run()

    assert state.status == "Completed", state.error
    assert (state.outputs["rows"].type, state.outputs["rows"].path) == ("uri_file", path.as_uri())
    assert pd.read_csv(path)["prediction"].tolist() == ["000.txt", "001.txt"]


def test_without_append_row_to_rows_are_counted_and_kept_nowhere(tmp_path):
    step = Step(tmp_path, ECHO, files=3, outputs={})

    state = step.run()

    assert state.status == "Completed", state.error
    assert (state.progress.items_succeeded, state.outputs) == (3, {})
    assert not (step.folder / "named-outputs").exists()


def test_what_fails_is_accounted_for_as_in_a_model_deployment(tmp_path):
    script = """
    def run(mini_batch):
        if any("004" in file for file in mini_batch):
            raise ValueError("no 4")
        return mini_batch
    """
    settings = {"mini_batch_size": 2, "retry_settings": {"max_retries": 1}}
    deployed = Job(tmp_path / "model", script, settings=settings)
    step = Step(tmp_path / "step", script, **settings)

    first, other = deployed.run(), step.run()

    assert other.status == "Completed", other.error
    assert (first.items, first.rows, first.files) == (other.items, other.rows, other.files)
    assert step.failed_items() == deployed.failed_items()
    assert [one["file"] for one in step.failed_items()] == ["004.txt", "005.txt"]


@pytest.mark.parametrize(("threshold", "status"), [(-1, "Completed"), (2, "Completed"), (1, "Failed"), (0, "Failed")])
def test_a_step_fails_when_more_mini_batches_failed_than_are_allowed(tmp_path, threshold, status):
    script = """
    def run(mini_batch):
        if any(name in file for file in mini_batch for name in ("001", "006")):
            raise ValueError("not this one")
        return mini_batch
    """
    step = Step(tmp_path, script, mini_batch_size=2, mini_batch_error_threshold=threshold)

    state = step.run()

    assert state.status == status
    if status == "Failed":
        assert "ValueError: not this one" in state.error.message
        assert f"mini_batch_error_threshold ({threshold})" in state.error.details


def test_files_of_a_failed_try_are_in_no_output_and_those_of_each_mini_batch_once(tmp_path):
    script = """
    import os, sys
    def run(mini_batch):
        for file in mini_batch:
            name = os.path.basename(file)
            os.makedirs(os.path.join(sys.argv[1], "deep"), exist_ok=True)
            with open(os.path.join(sys.argv[1], "deep", name), "x") as copy:
                copy.write(name)
            mark = os.path.join(os.path.dirname(__file__), "tried-" + name)
            if name == "003.txt" and not os.path.exists(mark):
                open(mark, "w").close()
                raise ValueError("the first time")
        return mini_batch
    """
    step = Step(
        tmp_path,
        script,
        outputs={"files": {"type": "uri_folder"}},
        task={"program_arguments": "${{outputs.files}}"},
        mini_batch_size=2,
        max_concurrency_per_instance=2,
        retry_settings={"max_retries": 1},
    )

    state = step.run()

    assert state.status == "Completed", state.error
    deep = step.folder / "named-outputs" / "files" / "deep"
    assert sorted(os.listdir(deep)) == [f"{n:03}.txt" for n in range(10)]
    assert state.renamed_files is None


def test_variables_and_literals_reach_the_script(tmp_path):
    script = """
    import os
    def run(mini_batch):
        names = ("AZUREML_PARALLEL_EXAMPLE", "BATCH_INPUT_ALPHA", "AZUREML_MODEL_DIR")
        return ["|".join(os.environ.get(name, "-") for name in names)]
    """
    step = Step(
        tmp_path,
        script,
        files=1,
        inputs={"alpha": {"type": "number", "value": 0.5}},
        variables={"AZUREML_PARALLEL_EXAMPLE": "3a_yaml"},
    )

    assert step.run().status == "Completed"
    assert [row["prediction"] for row in step.rows()] == ["3a_yaml|0.5|-"]
