"""What a script's run() is given: the format that it declares, and values that no cut changes."""

from decimal import Decimal

import numpy as np
import pandas
import pandas as p
import pyarrow as pa
import pytest
from tables import cut, payloads

from batch_endpoints.scoring.host_tables import declared_format, table_as
from batch_endpoints.scoring.table_batches import TableBatch

LARGE = 9007199254740993  # no float holds it


def optional_by_union(rows: p.DataFrame | None): ...
def optional_as_text(rows: "p.DataFrame | None"): ...
def unknown_names(rows: "Optional[pd.DataFrame]"): ...  # noqa: F821
def tables(rows: pa.Table): ...
def arrays(rows: dict[str, np.ndarray]): ...
def arrays_as_text(rows: "dict[str, elsewhere.ndarray] | None"): ...  # noqa: F821
def aliased(rows: "p.DataFrame"): ...
def others(rows: "elsewhere.DataFrame | None"): ...  # noqa: F821


def paths(rows: list[str]): ...
def paths_as_text(rows: "list[str] | None"): ...
def plain(rows): ...


@pytest.mark.parametrize(
    ("run", "form"),
    [
        *((optional_by_union, "pandas"), (optional_as_text, "pandas"), (aliased, "pandas"), (tables, "pyarrow")),
        *((arrays, "numpy"), (arrays_as_text, "numpy"), (paths, "files"), (paths_as_text, "files"), (plain, "files")),
        *((unknown_names, "pandas"), (others, "files"), (lambda rows: rows, "files"), (None, "files")),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_the_annotation_says_what_run_gets(run, form):
    assert declared_format(run) == form


def given(folder, size, form):
    """What run() gets of each mini-batch."""
    return [table_as(form, payload) for payload in payloads(cut(folder, size))]


def write(folder, name):
    table = pa.table(
        {
            "n": [1, LARGE, 2, None, 3],
            "i": pa.array([1, 2, 3, 4, 5], pa.int64()),
            "yes": [True, False, True, None, True],
            "x": [0.5, 1.5, None, 2.5, 3.5],
            "t": ["a", "b", "c", None, "e"],
        }
    )
    if name == "a.csv":
        pa.csv.write_csv(table, folder / name)
    elif name == "a.jsonl":
        table.to_pandas(types_mapper={pa.int64(): pandas.Int64Dtype()}.get).to_json(
            folder / name, orient="records", lines=True
        )
    elif name == "a.parquet":
        pa.parquet.write_table(table, folder / name, row_group_size=2)
    else:
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)


NAMES = ["a.csv", "a.jsonl", "a.parquet", "a.arrow"]


@pytest.mark.parametrize("size", ["1 rows", "2 rows", "3 rows", "64MB"])
@pytest.mark.parametrize("name", NAMES)
def test_missing_values_of_other_rows_change_no_frame(tmp_path, name, size):
    write(tmp_path, name)
    frames = given(tmp_path, size, "pandas")
    kinds = {tuple(map(str, frame.dtypes)) for frame in frames}
    assert len(kinds) == 1
    assert list(kinds.pop())[:4] == ["Int64", "int64", "object", "float64"]
    whole = pandas.concat(frames)
    assert [None if v is pandas.NA else int(v) for v in whole["n"]] == [1, LARGE, 2, None, 3]
    assert [v for v in whole["yes"] if v == v and v is not None] == [True, False, True, True]


@pytest.mark.parametrize("size", ["1 rows", "2 rows", "64MB"])
@pytest.mark.parametrize("name", NAMES)
def test_missing_values_of_other_rows_change_no_array(tmp_path, name, size):
    write(tmp_path, name)
    batches = given(tmp_path, size, "numpy")
    assert {str(batch[name].dtype) for batch in batches for name in ("n", "yes")} == {"object"}
    assert [v for batch in batches for v in batch["n"]] == [1, LARGE, 2, None, 3]
    assert {str(batch["i"].dtype) for batch in batches} == {"int64"}
    assert {str(batch["x"].dtype) for batch in batches} == {"float64"}


def test_arrays_may_be_written_to():
    table = pa.table({"a": [1, 2], "x": [0.5, 1.5], "t": ["x", "y"], "yes": [True, False]})
    rows = table_as("numpy", TableBatch(table, ["a"], [range(2)]).payload().to_pybytes())
    rows["a"] += 1
    rows["x"] *= 2
    rows["t"][0], rows["yes"][0] = "z", False
    assert [array.tolist() for array in rows.values()] == [[2, 3], [1.0, 3.0], ["z", "y"], [False, False]]
    frame = table_as("pandas", TableBatch(table, ["a"], [range(2)]).payload().to_pybytes())
    frame.loc[0, "a"] = 7
    frame["x"] += 1
    assert frame["a"].tolist() == [7, 2]


@pytest.mark.parametrize("form", ["pandas", "numpy"])
def test_a_union_is_refused_by_name_where_the_form_has_none(form):
    types, offsets = pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32())
    table = pa.table({"u": pa.UnionArray.from_dense(types, offsets, [pa.array([1]), pa.array(["x"])])})
    payload = TableBatch(table, ["a"], [range(2)]).payload().to_pybytes()

    assert table_as("pyarrow", payload)["u"].to_pylist() == [1, "x"]
    with pytest.raises(TypeError, match=rf"column 'u' has the type dense_union<.*, and {form} has none for unions"):
        table_as(form, payload)


MISSING = {
    "categories": pa.array(["x", None, "y"]).dictionary_encode(),
    "categories of whole numbers": pa.array([LARGE, None, 1]).dictionary_encode(),
    "no categories": pa.array([None, None, None], pa.dictionary(pa.int8(), pa.string())),
    "runs": pa.RunEndEncodedArray.from_arrays([1, 2, 3], pa.array([LARGE, None, 1])),
    "bytes of one length in lists": pa.array([[b"abc"], None, [b"xyz", None]], pa.list_(pa.binary(3))),
    "views of text in lists": pa.array([["a"], None, ["b", None]], pa.list_(pa.string_view())),
    "small decimals in lists": pa.array([[Decimal("1.10")], None, [None]], pa.list_(pa.decimal64(18, 2))),
}


@pytest.mark.parametrize("form", ["pandas", "numpy"])
@pytest.mark.parametrize("column", MISSING.values(), ids=MISSING)
def test_what_is_missing_becomes_no_other_value(form, column):
    table = pa.table({"a": column})
    for first, end in ((0, 3), (0, 0), (1, 2)):
        rows = table.slice(first, end - first)
        told = rows.replace_schema_metadata({"missing": '["a"]'}) if pa.types.is_dictionary(column.type) else rows
        found = table_as(form, TableBatch(told, ["f"], [range(len(rows))]).payload().to_pybytes())["a"]
        cells = [None if p.isna(one) is True else one for one in found]
        decoded = column if not pa.types.is_run_end_encoded(column.type) else pa.compute.run_end_decode(column)
        assert cells == decoded.to_pylist()[first:end]


def test_a_value_that_has_no_form_in_pandas_is_refused_by_the_name_of_its_column():
    table = pa.table({"a": pa.array([1], pa.time64("ns"))})
    with pytest.raises(
        TypeError, match=r"column 'a' has the type time64\[ns\], and pandas cannot hold one of its values"
    ):
        table_as("pandas", TableBatch(table, ["f"], [range(1)]).payload().to_pybytes())
