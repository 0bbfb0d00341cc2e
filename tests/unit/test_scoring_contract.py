"""What a reply of the host means: rows, and which items have a result."""

import math

import pyarrow as pa
import pytest
from received import read_reply

from batch_endpoints.errors import RunFailed
from batch_endpoints.scoring.contract import UserError

NOT_NAMED = ", and no column says which files they are of"


def values(*rows):
    return {"kind": "values", "values": list(rows)}, b""


def table(**columns):
    sink = pa.BufferOutputStream()
    built = pa.table(columns)
    with pa.ipc.new_stream(sink, built.schema) as writer:
        writer.write_table(built)
    return {"kind": "table", "rows": built.num_rows}, sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("reply", "items", "expected"),
    [
        pytest.param(
            values(0.5, math.inf),
            ["a", "b"],
            {"prediction": [0.5, math.inf], "file": ["a", "b"]},
            id="a value for each",
        ),
        pytest.param(values("x", None), ["a", "b"], {"prediction": ["x", None], "file": ["a", "b"]}, id="None"),
        pytest.param(values(1, "x"), ["a", "b"], {"prediction": ["1", "x"], "file": ["a", "b"]}, id="mixed types"),
        pytest.param(
            values(True, 2), ["a", "b"], {"prediction": ["true", "2"], "file": ["a", "b"]}, id="mixed numbers"
        ),
        pytest.param(values(2**70), ["a"], {"prediction": [str(2**70)], "file": ["a"]}, id="a number above 64 bits"),
        pytest.param(values([1, 2], [3]), ["a", "b"], {"prediction": [[1, 2], [3]], "file": ["a", "b"]}, id="lists"),
        pytest.param(values(["a", 2]), ["a"], {"prediction": ['["a", 2]'], "file": ["a"]}, id="mixed lists"),
        pytest.param(
            values({"x": 1}, {"x": 2, "y": "z"}), ["a", "b"], {"x": [1, 2], "y": [None, "z"]}, id="dict rows"
        ),
        pytest.param(
            values(1, 2, 3), ["a"], {"prediction": [1, 2, 3], "file": ["a"] * 3}, id="several values for one file"
        ),
        pytest.param(values(1, 2, 3), ["a", "b"], {"prediction": [1, 2, 3]}, id="more values than files"),
        pytest.param(table(x=[1, 2]), ["a", "b"], {"x": [1, 2]}, id="a table with a row for each"),
        pytest.param(table(x=[1, 2, 3]), ["a", "b"], {"x": [1, 2, 3]}, id="a table with more rows"),
        pytest.param(
            ({"kind": "columns", "names": ["x"], "data": [[1.5]], "rows": 1}, b""),
            ["a"],
            {"x": [1.5]},
            id="without pyarrow",
        ),
    ],
)
def test_a_result_becomes_rows_and_every_item_has_one(reply, items, expected):
    scored = read_reply(*reply, items)

    assert scored.table.to_pydict() == expected
    assert scored.failed == {}


@pytest.mark.parametrize(
    ("files", "items", "without"),
    [
        pytest.param(["a.csv", "a.csv"], ["a.csv", "b.csv"], ["b.csv"], id="as many rows as files"),
        pytest.param(["a.csv"] * 5, ["a.csv", "b.csv"], ["b.csv"], id="more rows than files"),
        pytest.param(["b.csv"], ["a.csv", "b.csv", "c.csv"], ["a.csv", "c.csv"], id="fewer rows than files"),
        pytest.param(["/in/deep/a.csv"], ["deep/a.csv", "deep/b.csv"], ["deep/b.csv"], id="absolute paths"),
        pytest.param(["/in/x/a.csv", "/in/x/a.csv"], ["a.csv", "x/a.csv"], ["a.csv"], id="a path means the longest"),
        pytest.param(["a.csv", "a.csv"], ["a.csv", "x/a.csv"], [], id="one base name for two files, two rows"),
        pytest.param(["a.csv"], ["x/a.csv", "a.csv"], ["x/a.csv"], id="one base name for two files, one row"),
        pytest.param(["a.csv", None], ["a.csv", "b.csv"], ["b.csv"], id="a row without a name"),
    ],
)
def test_a_file_that_the_rows_do_not_name_has_failed(files, items, without):
    scored = read_reply(*table(n=list(range(len(files))), file=files), items)

    assert list(scored.failed) == without
    assert all("none for this file" in why.headline for why in scored.failed.values())


@pytest.mark.parametrize(
    ("files", "doubtful"),
    [(["x.txt", "x.txt"], True), (["/in/a/x.txt", "/in/b/x.txt"], False), (["x.txt"], False)],
    ids=["base names", "paths", "one of them"],
)
def test_it_is_told_where_a_base_name_may_be_that_of_several_files(files, doubtful):
    scored = read_reply(*table(n=list(range(len(files))), file=files), ["a/x.txt", "b/x.txt"])

    assert ("several of one call are 'x.txt'" in scored.unattributed) is doubtful


def test_of_two_columns_the_one_that_names_more_files_counts():
    scored = read_reply(*table(nearest=["a", "a"], file=["a", "b"]), ["a", "b"])

    assert scored.failed == {}


def test_text_that_names_no_file_is_an_ordinary_column():
    scored = read_reply(*table(label=["cat", "a"]), ["a", "b"])

    assert scored.failed == {}


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        pytest.param(values(), "run() returned no rows for 2 files", id="an empty list"),
        pytest.param(values(1), f"run() returned 1 row for 2 files{NOT_NAMED}", id="a shorter list"),
        pytest.param(table(x=pa.array([], pa.int64())), "run() returned no rows for 2 files", id="an empty table"),
        pytest.param(
            table(label=["cat"]), f"run() returned 1 row for 2 files{NOT_NAMED}", id="a table without names"
        ),
    ],
)
def test_too_few_rows_that_name_no_file_are_refused(reply, message):
    with pytest.raises(RunFailed) as caught:
        read_reply(*reply, ["a", "b"])

    assert caught.value.what == message
    assert "one row per file" in caught.value.mend


def test_more_rows_than_files_are_taken_with_a_note_where_nothing_says_which_files_they_are_of():
    reply = {"kind": "columns", "names": ["x"], "data": [[1, 2, 3]], "rows": 3}
    assert read_reply(reply, b"", ["a.csv", "b.csv"]).unattributed == (
        "run() returned 3 rows for 2 files and no column says which file each is of, so a file that the script "
        "leaves out cannot be noticed; return a column with the file's name"
    )
    assert read_reply(reply, b"", ["a.csv"]).unattributed == "", "they are all of it"
    assert read_reply(reply, b"", ["a.csv", "b.csv", "c.csv"]).unattributed == "", "a row for each"
    named = {"kind": "columns", "names": ["f"], "data": [["a.csv", "a.csv", "b.csv"]], "rows": 3}
    assert read_reply(named, b"", ["a.csv", "b.csv"]).unattributed == ""


def test_results_by_item_name_their_file_and_keep_each_reason():
    error = {"class": "ValueError", "message": "no numbers", "file": "", "line": 0, "stack": "…", "again": False}
    inner, payload = table(prediction=[1, 2, 3])
    header = {"kind": "items", "items": [{"rows": 2}, {"error": error}, {"rows": 1}], "table": inner}

    scored = read_reply(header, payload, ["a", "b", "c"])

    assert scored.table.to_pydict() == {"row": [0, 1, 0], "prediction": [1, 2, 3], "file": ["a", "a", "c"]}
    assert {item: why.headline for item, why in scored.failed.items()} == {"b": "ValueError: no numbers"}
    assert not scored.failed["b"].may_pass


def test_the_file_column_keeps_clear_of_the_models_own():
    inner, payload = table(file=["own"], _file=["own too"])

    scored = read_reply({"kind": "items", "items": [{"rows": 1}], "table": inner}, payload, ["a"])

    assert scored.table.column_names == ["row", "file", "_file", "__file"]


@pytest.mark.parametrize(
    ("error", "headline"),
    [
        (UserError("ValueError", "bad", "score.py", 7), "score.py:7: ValueError: bad"),
        (UserError("", "killed"), "killed"),
        (UserError("KeyError", ""), "KeyError"),
        (UserError("E", "one\n  two\n"), "E: one two"),
        (UserError("E", "x" * 5000), "E: " + "x" * 500 + " … " + "x" * 500),
    ],
    ids=["with a place", "message alone", "no message", "many lines", "very long"],
)
def test_a_headline_is_one_line(error, headline):
    assert error.headline == headline
