"""``output_file_name: predictions/``: a folder of files that workers have written, and no merge at the end."""

import json
import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from job_folders import Job

from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.errors import Conflict
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.commits import Commit
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs.named_output import named_output
from batch_endpoints.storage.outputs.output_folder import folder_files

FOLDER = {"output_file_name": "predictions/"}
NAMES = """
import os
import pandas as pd
from pathlib import Path
def run(mini_batch):
    names = [os.path.basename(file) for file in mini_batch]
    if any(Path("%s", name).exists() for name in names):
        raise ValueError("bad")
    return pd.DataFrame({"name": names, "n": [int(name[:3]) for name in names]})
"""


def files_in(job):
    return sorted((job.output / "predictions").iterdir())


def test_a_folder_has_a_file_for_each_commit_in_the_order_of_the_input(tmp_path):
    settings = FOLDER | {"max_concurrency_per_instance": 2, "mini_batch_size": 2}
    job = Job(tmp_path, NAMES % tmp_path, files=200, settings=settings)

    state = job.run()

    assert state.status == "Completed", state.error
    found = files_in(job)
    assert len(found) == len(job.commits()) > 10
    rows = [row for file in found for row in pyarrow.parquet.read_table(file).to_pylist()]
    assert rows == [{"name": f"{n:03}.txt", "n": n} for n in range(200)]
    assert os.listdir(job.output) == ["predictions"]
    assert pd.read_parquet(job.output / "predictions")["n"].tolist() == list(range(200))  # as any reader of folders


@pytest.mark.parametrize(
    ("wanted", "read"),
    [
        ("csv", lambda file: pd.read_csv(file)["n"].tolist()),
        ("jsonl", lambda file: [json.loads(line)["n"] for line in file.read_text().splitlines()]),
        ("arrow", lambda file: pa.ipc.open_file(file).read_all()["n"].to_pylist()),
        ("azureml", lambda file: pd.read_csv(file, sep=" ", header=None)[1].tolist()),
    ],
)
def test_a_folder_is_in_the_format_that_is_wanted(tmp_path, wanted, read):
    job = Job(tmp_path, NAMES % tmp_path, files=9, settings=FOLDER | {"output_format": wanted})

    assert job.run().status == "Completed"

    found = files_in(job)
    assert {file.suffix for file in found} == {".csv" if wanted == "azureml" else f".{wanted}"}
    assert [n for file in found for n in read(file)] == list(range(9))


def test_what_a_retry_brings_stands_behind_its_mini_batch_and_no_file_changes_its_name(tmp_path):
    job = Job(tmp_path, NAMES % tmp_path, files=9, settings=FOLDER | {"mini_batch_size": 3})
    (tmp_path / "004.txt").touch()
    assert job.run().status == "Completed"
    before = [file.name for file in files_in(job)]

    (tmp_path / "004.txt").unlink()
    job.job_folder.write_job(job.job_folder.job().model_copy(update={"retries": 1, "resumption": 1}))
    assert job.run().status == "Completed"

    after = [file.name for file in files_in(job)]
    assert set(before) < set(after)
    rows = [row["n"] for file in files_in(job) for row in pyarrow.parquet.read_table(file).to_pylist()]
    assert rows == list(range(9))


TEXTS = """
import pandas as pd
def run(mini_batch):
    texts = {"000.txt": ["x", None], "001.txt": ["", "y"]}[mini_batch[0][-7:]]
    first = mini_batch[0].endswith("000.txt")
    numbers = pd.array([9007199254740993, None], dtype="Int64") if first else [0.5, float("inf")]
    return pd.DataFrame({"text": texts, "n": numbers, "day": pd.Timestamp("2024-02-29", tz="UTC")})
"""


@pytest.mark.parametrize(
    ("wanted", "noted"),
    [
        ("csv", "an empty field is a missing text and two quotes"),
        ("jsonl", "NaN and infinity are null"),
        ("parquet", ""),
    ],
)
def test_the_report_names_the_types_of_a_folders_columns_and_what_its_format_cannot_tell(tmp_path, wanted, noted):
    job = Job(tmp_path, TEXTS, files=2, settings=FOLDER | {"output_format": wanted})

    job.run()

    report = job.report()
    kinds = {name: kind.removeprefix("large_")[:9] for name, kind in report["columns"].items()}
    assert kinds == {"text": "string", "n": "string", "day": "timestamp"}
    notes = "\n".join(report["notes"])
    assert (
        "the files in 'predictions/' have columns of other types, as run() returned them: n (int64, double)" in notes
    )
    assert noted in notes


def test_a_commit_has_a_file_for_each_kind_of_rows(tmp_path):
    commits = [
        Commit(bundle=0, start=0, end=2, parts=("parts/x", "parts/y")),
        Commit(bundle=0, start=2, end=3),
        Commit(bundle=1, start=3, end=4, parts=("parts/z",)),
    ]
    job = Job(tmp_path, settings=FOLDER)
    output = named_output(job.job_folder.job(), "JOB")
    assert folder_files([commits], output.rows) == {
        "predictions/part-000000000-000.parquet": "parts/x",
        "predictions/part-000000000-001.parquet": "parts/y",
        "predictions/part-000000003-000.parquet": "parts/z",
    }


def test_another_job_takes_the_place_of_a_folder_only_where_it_may(tmp_path):
    outputs = {"x": {"path": (tmp_path / "out").as_uri()}}
    first = Job(tmp_path / "1", NAMES % tmp_path, files=6, settings=FOLDER, outputs=outputs)
    assert first.run().status == "Completed"
    (tmp_path / "out" / "predictions" / "notes.txt").write_text("mine")

    second = Job(tmp_path / "2", NAMES % tmp_path, files=2, settings=FOLDER, outputs=outputs)
    with pytest.raises(Conflict, match="out/predictions/' exists already"):
        named_output(second.job_folder.job(), second.job_folder.uri).check_free()
    third = Job(tmp_path / "3", NAMES % tmp_path, files=2, settings=FOLDER, outputs=outputs, overwrite=True)
    assert third.run().status == "Completed"

    names = sorted(file.name for file in (tmp_path / "out" / "predictions").iterdir())
    assert names == ["notes.txt", "part-000000000-000.parquet", "part-000000001-000.parquet"]


def test_a_folder_in_a_store(s3, tmp_path):
    job = Job(tmp_path, NAMES % tmp_path, files=6, settings=FOLDER, outputs={"x": {"path": "s3://lake/out"}})

    assert run_job(JobFolder(job.job_folder.files, job.job_folder.uri), LocalRunner).status == "Completed"

    store = writable_place("s3://lake/out")
    rows = [store.open_input(f"predictions/{name}") for name in store.names("predictions")]
    assert [n for file in rows for n in pyarrow.parquet.read_table(file)["n"].to_pylist()] == list(range(6))
    assert named_output(job.job_folder.job(), "JOB").taken()


BEYOND_PARQUET = """
import pyarrow as pa
def run(mini_batch):
    return pa.table({"t": pa.array([2**55], pa.timestamp("s"))})
"""


@pytest.mark.parametrize("settings", [FOLDER, {"output_file_name": "p.parquet"}], ids=["folder", "file"])
def test_rows_that_the_format_cannot_hold_fail_the_job_and_say_so(tmp_path, settings):
    job = Job(tmp_path, BEYOND_PARQUET, files=1, settings=settings)
    state = job.run()
    assert (state.status, state.error.code) == ("Failed", "OutputFailed")
    assert "cannot be written as parquet" in state.error.message
