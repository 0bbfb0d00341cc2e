"""How the driver plans tables for a model without a script, where nobody says how large mini-batches are."""

import pyarrow as pa
import pyarrow.feather
import pytest
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema

from batch_endpoints.engine.driver import plan_input
from batch_endpoints.engine.driver.plan_input import plan_mini_batches
from batch_endpoints.errors import InputError
from batch_endpoints.planning import partitions
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import WHOLE
from batch_endpoints.specs import ScoringJob
from batch_endpoints.storage.tables.column_types import columns_with_missing
from batch_endpoints.storage.tables.parts import PartReader


def job_of(folder, mini_batch_size=None, **deployment):
    model = {"name": "m", "version": "1", "path": (folder / "model").as_uri()}
    inputs = {"data": {"type": "uri_folder", "path": folder.as_uri()}}
    deployment |= {"name": "plain", "model": model, "settings": {"mini_batch_size": mini_batch_size}}
    return ScoringJob.model_validate({"name": "job", "deployment": deployment, "inputs": inputs})


def planned(folder, files, workers=1, size=None):
    return plan_mini_batches(job_of(folder, size), str(folder / "in"), files, workers)


def plan(folder, files, workers=1):
    """The files of each mini-batch."""
    found = planned(folder, files, workers)
    assert all(part == WHOLE for bundle in found.bundles for parts in bundle.parts for part in parts)
    return [batch for bundle in found.bundles for batch in bundle.mini_batches]


def test_compressed_files_count_as_what_they_hold(tmp_path):
    """Sixteen of 1 MB may be 480 MB of text: no table for one call."""
    plain = [InputFile(f"{n}.csv", 1 << 20) for n in range(4)]
    compressed = [InputFile(f"{n}.csv.gz", 1 << 20) for n in range(4)]
    assert plan(tmp_path, plain) == [("0.csv",), ("1.csv",), ("2.csv",), ("3.csv",)]
    assert plan(tmp_path, compressed) == [(file.path,) for file in compressed]
    small = [InputFile(f"{n:02}.csv.gz", 100 << 10) for n in range(64)]
    assert max(map(len, plan(tmp_path, small))) == 16


def test_a_large_compressed_file_is_not_read_for_the_plan(tmp_path):
    assert plan(tmp_path, [InputFile("absent.csv.gz", 1 << 30)]) == [("absent.csv.gz",)]


@pytest.mark.parametrize(("size", "told_at"), [("64 rows", [4]), (2, [])], ids=["parts", "whole files"])
def test_it_is_told_once_when_parts_are_sure_to_keep_all_workers_busy(tmp_path, monkeypatch, size, told_at):
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("x\n" + "1\n" * 400)
    job = job_of(tmp_path, size, code_configuration={"code": "file:///c", "scoring_script": "score.py"})
    cut, told, begun = plan_input.cut_tables, [], []
    monkeypatch.setattr(plan_input, "cut_tables", lambda *how: map(lambda one: begun.append(1) or one, cut(*how)))
    files = [InputFile(f"{number}.csv", 802) for number in range(3)]
    found = plan_mini_batches(job, str(tmp_path), files, 4, None, lambda: told.append(len(begun)))
    assert told == told_at
    assert found.mini_batches == (19 if told_at else 2)


@pytest.mark.parametrize("signature", [False, True], ids=["without signature", "with signature"])
@pytest.mark.parametrize("size", [None, "1KB"])
def test_every_part_of_an_arrow_file_knows_what_lacks_a_value_in_another_one(tmp_path, monkeypatch, signature, size):
    monkeypatch.setattr(partitions, "_SMALLEST", 1 << 10)
    monkeypatch.setattr(partitions, "_LARGEST", 1 << 10)
    (tmp_path / "model").mkdir()
    if signature:
        Model(signature=ModelSignature(Schema([ColSpec("long", "n")]))).save(tmp_path / "model" / "MLmodel")
    folder = tmp_path / "in"
    folder.mkdir()
    table = pa.table({"n": [*range(999), None]})
    with pa.OSFile(str(folder / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    (folder / "b.csv").write_text("n,m\n" + "1,2\n" * 1000)
    pyarrow.feather.write_feather(table.slice(0, 999), folder / "c.feather", compression="uncompressed")

    files = [InputFile(f.name, f.stat().st_size) for f in folder.iterdir()]
    found = planned(tmp_path, files, size=size)

    reader = PartReader(str(folder), pa.ipc.read_schema(pa.py_buffer(found.columns)), tmp_path)
    lacking = {}
    for bundle in found.bundles:
        for paths, parts in zip(bundle.mini_batches, bundle.parts, strict=True):
            for path, part in zip(paths, parts, strict=True):
                lacking.setdefault(path, []).append(columns_with_missing(reader.read(path, part).schema))
    assert len(lacking["a.arrow"]) > 3
    assert all(names == {"n"} for names in lacking["a.arrow"])
    if size is None:
        assert not any(lacking["b.csv"] + lacking["c.feather"]), "one file says nothing of another"
        assert b"c.feather" not in found.columns, "and of one that lacks nothing there is nothing to say"


def with_union(place):
    """A file with a column of a union within a struct, as only Arrow's own formats have it."""
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    table = pa.table({"id": [1, 2], "u": pa.StructArray.from_arrays([union], names=["x"])})
    with pa.OSFile(str(place), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


SCRIPT = {"code_configuration": {"code": "file:///c", "scoring_script": "score.py"}}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (SCRIPT | {"settings": {"output_columns": ["u"]}}, "and no output keeps the types of a union's values"),
        (SCRIPT | {"settings": {"mini_batch_format": "numpy"}}, "and nothing in numpy keeps the types"),
        ({"settings": {}}, "and nothing in pandas keeps the types"),
        (SCRIPT | {"settings": {"output_columns": ["id"], "mini_batch_format": "pyarrow"}}, ""),
    ],
    ids=["for the output", "for numpy", "for a model", "for pyarrow"],
)
def test_a_union_that_nothing_can_hold_is_refused_by_name_before_the_job(tmp_path, more, reason):
    (tmp_path / "in").mkdir()
    with_union(tmp_path / "in" / "a.arrow")
    job = job_of(tmp_path, "10 rows", **SCRIPT)
    deployment = job.deployment.model_copy(
        update={"code_configuration": None} if "code_configuration" not in more else {}
    )
    settings = deployment.settings.model_copy(update=more["settings"])
    job = job.model_copy(update={"deployment": deployment.model_copy(update={"settings": settings})})
    files = [InputFile("a.arrow")]

    if not reason:
        assert plan_mini_batches(job, str(tmp_path / "in"), files, 1).mini_batches == 1
        return
    with pytest.raises(InputError, match=f"column 'u' of 'a.arrow' has the type struct<x: sparse_union.*{reason}"):
        plan_mini_batches(job, str(tmp_path / "in"), files, 1)
