"""Parallel steps on this machine: a model deployment's engine, with arguments, side inputs and several outputs."""

import json
import os

import pandas as pd
import pytest
from job_folders import ECHO, Job, noting
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


def test_run_gets_the_context_of_its_mini_batch_if_it_asks_for_it(tmp_path):
    script = """
    def run(mini_batch, mini_batch_context):
        context = mini_batch_context
        return [f"{context.minibatch_index} {context.partition_key_value}" for file in mini_batch]
    """
    step = Step(tmp_path / "step", script, files=3)
    deployed = Job(tmp_path / "model", script, files=3)

    assert (step.run().status, deployed.run().status) == ("Completed", "Completed")
    assert [row["prediction"] for row in step.rows()] == ["0 {}", "1 {}", "2 {}"]
    assert deployed.rows() == step.rows()


def test_folders_that_name_the_keys_are_one_mini_batch_each_with_any_number_of_rows(tmp_path):
    names = ["Store=1/Brand=a/x.txt", "Store=1/Brand=a/y.txt", "Store=1/Brand=b%2Fc/x.txt", "Store=2/Brand=a/x.txt"]
    step = Step(
        tmp_path,
        """
        import os
        def run(mini_batch, mini_batch_context):
            values = mini_batch_context.partition_key_value
            if values["Store"] == "2":
                return []
            return [f"{values['Store']} {values['Brand']} {len(mini_batch)} {n}" for n in range(3)]
        """,
        files=names,
        partition_keys=["Store", "Brand"],
    )

    state = step.run()

    assert state.status == "Completed", state.error
    expected = [f"1 a 2 {n}" for n in range(3)] + [f"1 b/c 1 {n}" for n in range(3)]
    assert [row["prediction"] for row in step.rows()] == expected
    assert (state.progress.items, state.progress.items_succeeded, state.progress.mini_batches) == (3, 3, 3)
    assert (state.progress.rows, state.files) == (6, None)


def table_of_sales(place):
    """A table in three files, in which rows of a group are apart."""
    place.mkdir(parents=True)
    frame = pd.DataFrame(
        {
            "Store": [2, 5, 8] * 20,
            "Brand": ["dominicks", "tropicana / x", None, "minute.maid"] * 15,
            "Quantity": [n if n % 7 else None for n in range(60)],
        }
    )
    for number in range(3):
        frame[number * 20 : number * 20 + 20].to_csv(place / f"part-{number}.csv", index=False)
    (place / "MLTable").write_text("paths:\n  - pattern: ./*.csv\ntransformations:\n  - read_delimited: {}\n")
    return frame


TRAIN = """
import argparse, os, pandas as pd
def init():
    global folder
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_folder")
    folder = parser.parse_known_args()[0].model_folder
def run(input_data, mini_batch_context):
    if not isinstance(input_data, pd.DataFrame):
        raise Exception("Not a valid DataFrame input.")
    keys = mini_batch_context.partition_key_value
    place = os.path.join(folder, *[str(value) for value in keys.values()])
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "model.txt"), "w") as model:
        model.write(str(input_data["Quantity"].sum()))
    return pd.DataFrame({**{key: [value] for key, value in keys.items()}, "n": len(input_data),
                         "sum": input_data["Quantity"].sum(), "type": str(input_data["Quantity"].dtype)})
"""


@pytest.mark.parametrize("mltable", [True, False], ids=["mltable", "folder"])
def test_rows_with_equal_keys_are_one_mini_batch_wherever_they_are(tmp_path, mltable):
    frame = table_of_sales(tmp_path / "table")
    if not mltable:
        (tmp_path / "table" / "MLTable").unlink()
    step = Step(
        tmp_path,
        TRAIN,
        files=0,
        data={"type": "mltable" if mltable else "uri_folder", "path": (tmp_path / "table").as_uri()},
        outputs={"rows": {"type": "uri_file"}, "models": {"type": "uri_folder"}},
        partition_keys=["Store", "Brand"],
        max_concurrency_per_instance=2,
        task={"program_arguments": "--model_folder ${{outputs.models}}"},
    )

    state = step.run()

    assert state.status == "Completed", state.error
    groups = frame.groupby(["Store", "Brand"], sort=False, dropna=False)["Quantity"]
    expected = groups.agg(["size", "sum"]).reset_index()
    found = pd.read_csv(step.output / "predictions.csv")
    assert found["Store"].tolist() == expected["Store"].tolist()
    assert found["Brand"].fillna("-").tolist() == expected["Brand"].fillna("-").tolist()
    assert found["n"].tolist() == expected["size"].tolist()
    assert found["sum"].tolist() == expected["sum"].tolist()
    assert len(set(found["type"])) == 1  # whether a group lacks a value or not
    assert state.progress.items == state.progress.items_succeeded == len(expected) == 12
    models = step.folder / "named-outputs" / "models"
    assert (models / "5" / "tropicana / x" / "model.txt").exists()
    assert len([*models.rglob("model.txt")]) == 12


def test_a_group_fails_whole_and_is_tried_again_whole(tmp_path):
    names = [f"k={key}/{n}.txt" for key in "ab" for n in range(3)]
    step = Step(
        tmp_path,
        """
        import os
        def run(mini_batch, mini_batch_context):
            key = mini_batch_context.partition_key_value["k"]
            if key == "b" and not os.path.exists(os.path.join(os.environ["MENDED"], "mended")):
                raise ValueError("not yet")
            return [key + str(len(mini_batch))]
        """,
        files=names,
        partition_keys="k",
        variables={"MENDED": str(tmp_path)},
    )

    state = step.run()

    assert (state.progress.items_succeeded, state.progress.items_failed) == (1, 1)
    assert [one["file"] for one in step.failed_items()] == ["k=b/0.txt"]

    (tmp_path / "mended").touch()
    again = step.step.model_copy(update={"resumption": 1, "retries": 1})
    step.job_folder.write_job(again)
    state = step.run()

    assert state.status == "Completed", state.error
    assert (state.progress.items_succeeded, state.progress.items_failed) == (2, 0)
    assert [row["prediction"] for row in step.rows()] == ["a3", "b3"]


@pytest.mark.parametrize(
    ("keys", "says", "mend"),
    [
        (["Stor"], "has no column 'Stor', which partition_keys names", "Did you mean 'Store'?"),
        (["Other"], "has no column 'Other', which partition_keys names", "It has: Store, Brand, Quantity."),
    ],
)
def test_keys_that_the_input_lacks_fail_the_step_with_their_name(tmp_path, keys, says, mend):
    table_of_sales(tmp_path / "table")
    data = {"type": "mltable", "path": (tmp_path / "table").as_uri()}
    state = Step(tmp_path, TRAIN, files=0, data=data, partition_keys=keys).run()
    assert state.status == "Failed"
    assert says in state.error.message
    assert mend in state.error.details


def test_files_that_have_neither_folders_nor_columns_for_the_keys_fail_the_step(tmp_path):
    state = Step(tmp_path, ECHO, files=2, partition_keys=["k"]).run()
    assert state.status == "Failed"
    assert "'000.txt' is neither in a folder for each of the partition_keys (k) nor a table" in state.error.message


@pytest.mark.parametrize("size", ["1kb", "10 rows", 1])
def test_a_script_gets_data_frames_of_a_table_without_saying_so(tmp_path, size):
    frame = table_of_sales(tmp_path / "table")
    step = Step(
        tmp_path,
        """
        def run(input_data):
            return input_data.drop(columns="Brand")
        """,
        files=0,
        data={"type": "mltable", "path": (tmp_path / "table").as_uri()},
        mini_batch_size=size,
    )

    state = step.run()

    assert state.status == "Completed", state.error
    assert pd.read_csv(step.output / "predictions.csv")["Store"].tolist() == frame["Store"].tolist()


def test_a_script_shuts_down_once_in_each_process_after_its_last_mini_batch(tmp_path):
    script = f"""
    {noting(tmp_path)}
    def init():
        note("init")
    def run(mini_batch):
        note("run")
        return mini_batch
    def shutdown():
        note("shutdown")
        raise ValueError("in the end")
    """
    step = Step(tmp_path, script, files=6)

    state = step.run()

    assert state.status == "Completed", state.error
    assert step.calls() == ["init", *["run"] * 6, "shutdown"]
    (log,) = [path for path in (step.folder / "logs").iterdir() if path.name != "driver.log"]
    assert "shutdown(): score.py:10: ValueError: in the end" in log.read_text()


@pytest.mark.parametrize(
    ("keys", "hangs_at", "items"), [(None, "007.txt", 12), (["k"], "002.txt", 3)], ids=["files", "groups"]
)
def test_a_killed_driver_is_followed_by_one_that_doubles_and_loses_nothing(tmp_path, keys, hangs_at, items):
    script = f"""
    import os, sys, time
    {noting(tmp_path)}
    def run(mini_batch):
        names = [os.path.basename(file) for file in mini_batch]
        note(names[0])
        for name in names:
            with open(os.path.join(sys.argv[1], name), "w") as copy:
                copy.write(name)
        if names[0] == {hangs_at!r} and not os.path.exists({str(tmp_path / "second")!r}):
            time.sleep(600)
        return names
    """
    step = Step(
        tmp_path,
        script,
        files=[f"k={n % 3}/{n:03}.txt" if keys else f"{n:03}.txt" for n in range(12)],
        outputs={"rows": {"type": "uri_folder"}, "files": {"type": "uri_folder"}},
        task={"program_arguments": "${{outputs.files}}"},
        retry_settings={"max_retries": 0, "timeout": 3600},
        partition_keys=keys,
    )
    with step.started_until(hangs_at):
        pass
    (tmp_path / "second").touch()

    state = step.run()

    assert state.status == "Completed", state.error
    names = [f"{n:03}.txt" for n in range(12)]
    assert sorted(row["prediction"] for row in step.rows()) == names
    files = step.folder / "named-outputs" / "files"
    assert sorted(os.listdir(files)) == names
    assert all((files / name).read_text() == name for name in names)
    assert (state.progress.items_succeeded, state.progress.items_failed) == (items, 0)
