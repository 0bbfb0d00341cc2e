"""Which rows and files of the input a result is of: an index that says so is believed, and nothing is guessed."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.exceptions import MlflowException
from received import received

from batch_endpoints.errors import BadReply, RunFailed
from batch_endpoints.scoring import host, host_tables, mlflow_driver
from batch_endpoints.scoring.contract import scored_files
from batch_endpoints.scoring.host_index import Given
from batch_endpoints.scoring.mlflow_driver import Prediction
from batch_endpoints.scoring.mlflow_predictions import framed
from batch_endpoints.scoring.table_batches import TableBatch, scored_table

TABLE = pa.table({"id": ["w", "x", "y", "z"], "a": [3, 1, None, 2], "k": [1, 1, 2, 2]})


def of_table(run, table=TABLE, form="pandas", columns=("id",), items=("f.csv",), places=None):
    """What comes of a table that a script is given."""
    batch = TableBatch(table, items, places or [range(10, 10 + table.num_rows)], columns)
    payload = batch.payload().to_pybytes()
    rows = host_tables.table_as(form, payload)
    given = host_tables.as_given(Given, rows, payload)
    header, answer = host._reply(run(rows), given, None)
    return scored_table(received(header, answer, rows=table.num_rows), batch)


def of_files(result, items=("d/a.png", "d/b.png", "c.txt")):
    """What comes of files of which a script returns this."""
    paths = [f"/in/{item}" for item in items]
    header, answer = host._reply(result, Given(len(items), paths), None)
    return scored_files(received(header, answer, items), items)


def of_model(predict, data, read=True):
    """What comes of a file, or of a table, that a model without a script predicts."""

    class Again(Prediction):
        def given(self, given):
            found = super().given(given)
            found.again = lambda first: framed(predict(data.set_axis(range(first, first + len(data)), axis=0))).index
            return found

    header, answer = host._items([Again(framed(predict(data)), data=data, read=len(data) if read else None)], "")
    if read:
        return scored_files(received(header, answer, ["f.csv"]), ["f.csv"])
    batch = TableBatch(pa.table({"n": range(len(data))}), ["f.csv"], [range(10, 10 + len(data))])
    return scored_table(received(header, answer, rows=len(data)), batch)


def missing(scored):
    return {item: list(rows) for item, rows in scored.failed_rows.items()}


@pytest.mark.parametrize(
    ("run", "ids", "without"),
    [
        (lambda t: t.sort_values("a")["a"], "wxyz", []),
        (lambda t: t.sort_values("a"), "wxyz", []),
        (lambda t: t.dropna()["a"], "wxz", [12]),
        (lambda t: t[t.a > 1], "wz", [11, 12]),
        (lambda t: t.iloc[[3]], "z", [10, 11, 12]),
        (lambda t: t.loc[t.index.repeat(2)]["a"], "wwxxyyzz", []),
        (lambda t: pd.concat([t, t]), "wwxxyyzz", []),
        (lambda t: t.loc[[2, 0, 0]]["a"], "wwy", [11, 13]),
        (lambda t: t.set_index("id")["a"], "wxyz", []),
        (lambda t: t.set_index("id").sort_values("a"), "wxyz", []),
        (lambda t: t.set_index("id").loc[["z", "w"]], "wz", [11, 12]),
        (lambda t: t.groupby("id", sort=False).agg(n=("a", "sum")), "wxyz", []),
        (lambda t: t.groupby("k")[["a"]].apply(lambda g: g.sort_values("a")), "wxyz", []),
        (lambda t: [t.iloc[2:], t.iloc[:2]], "wxyz", []),
        (lambda t: [t.iloc[[at]] for at in range(4)], "wxyz", []),
        (lambda t: [t.iloc[[0, 0]], t[:0], t.iloc[[2]], t.iloc[[3]]], "wwyz", [11]),
        (lambda t: t.sample(frac=1, random_state=1)["a"].to_numpy(), "wxyz", []),
        (lambda t: t["a"].sort_values(ignore_index=True), "wxyz", []),
    ],
    ids=[
        *["sorted Series", "sorted", "dropna", "mask", "one row", "repeated", "twice", "loc", "key", "sorted by key"],
        *["some by key", "groupby key", "groupby apply", "list of parts", "list of rows", "list of some"],
        *["array", "numbered anew"],
    ],
)
def test_values_of_the_input_stand_beside_the_rows_that_an_index_says(run, ids, without):
    scored = of_table(run)

    found = scored.table.column("_id" if "_id" in scored.table.column_names else "id").to_pylist()
    assert "".join(found) == ids
    assert missing(scored) == ({"f.csv": without} if without else {})
    assert all(
        why.headline == "run() returned no row for it"
        for rows in scored.failed_rows.values()
        for why in rows.values()
    )
    if "_id" in scored.table.column_names:
        assert scored.table["id"].to_pylist() == found, "the script's own are of the same rows"


@pytest.mark.parametrize(
    ("run", "rows"),
    [
        (lambda t: t["a"].tolist()[1:], "3 rows"),
        (lambda t: pd.Series(t["a"].dropna().to_numpy()), "3 rows"),
        (lambda t: t.head(3), "3 rows"),
        (lambda t: t[:0], "no rows"),
        (lambda t: t.groupby("k").agg(n=("a", "sum")), "2 rows"),
        (lambda t: pd.concat([t[:1].reset_index(drop=True)] * 3), "3 rows"),
    ],
    ids=["list", "numbered anew", "the first", "none", "groups", "numbered anew in parts"],
)
def test_fewer_rows_of_which_nothing_says_which_they_are_fail_at_once(run, rows):
    with pytest.raises(RunFailed, match=rf"returned {rows} for 4 rows of input"):
        of_table(run)


def test_rows_in_another_order_under_an_index_that_names_several_are_refused():
    with pytest.raises(ValueError, match="their index 'k' names several of these"):
        of_table(lambda t: t.set_index("k").sort_values("a"))


@pytest.mark.parametrize("form", ["pyarrow", "numpy"])
def test_what_is_made_of_other_tables_may_have_an_index_too(form):
    def run(rows):
        frame = rows.to_pandas() if form == "pyarrow" else pd.DataFrame(rows)
        return frame.sort_values("a")["k"]

    assert of_table(run, form=form).table.select(["row", "prediction", "id"]).to_pydict() == {
        "row": [10, 11, 12, 13],
        "prediction": [1, 1, 2, 2],
        "id": [*"wxyz"],
    }


def test_rows_are_of_the_files_they_were_read_from():
    table, places = TABLE, [range(7, 9), [0, 5]]
    scored = of_table(lambda t: t.dropna().sort_values("a")["a"], table, items=["f", "g"], places=places)

    assert scored.table.to_pydict() == {
        "row": [7, 8, 5],
        "prediction": [3.0, 1.0, 2.0],
        "id": ["w", "x", "z"],
        "file": ["f", "f", "g"],
    }
    assert missing(scored) == {"g": [0]}


def test_an_index_that_the_input_has_itself_says_which_rows_they_are():
    frame = pd.DataFrame({"id": [*"wxyz"], "a": [3, 1, 4, 2]}, index=[30, 10, 40, 20])
    table = pa.Table.from_pandas(frame)

    assert of_table(lambda t: t.sort_index()["a"], table).table["id"].to_pylist() == [*"wxyz"]
    assert missing(of_table(lambda t: t[t.a > 2], table)) == {"f.csv": [11, 13]}
    with pytest.raises(RunFailed):
        of_table(lambda t: t[t.a > 2].reset_index(drop=True), table)


@pytest.mark.parametrize("count", [1, 2])
def test_more_rows_of_which_nothing_says_which_they_are_have_no_number_and_the_job_says_so(count):
    items, places = ["f", "g"][:count], [range(4)] if count == 1 else [range(2), range(2)]
    scored = of_table(lambda t: [0.5] * 8, columns=(), items=items, places=places)

    assert scored.table.to_pydict() == {
        "row": [None] * 8,
        "prediction": [0.5] * 8,
        "file": ["f" if count == 1 else None] * 8,
    }
    assert scored.unattributed.startswith("run() returned 8 rows for 4 rows of input, and nothing states which")


DATA = pd.DataFrame({"a": [1.0, None, 3.0], "b": [7, 8, 9]})
TAIL = pd.DataFrame({"a": [1.0, 2.0, None], "b": [7, 8, 9]})


@pytest.mark.parametrize("read", [True, False], ids=["file", "table"])
@pytest.mark.parametrize(
    ("predict", "data", "rows", "without"),
    [
        (lambda t: t.dropna(), DATA, [0, 2], [1]),
        (lambda t: t.dropna()["a"], TAIL, [0, 1], [2]),
        (lambda t: t.dropna(), TAIL[2:].reset_index(drop=True), [], [0]),
        (lambda t: pd.concat([t, t]), DATA, [0, 0, 1, 1, 2, 2], []),
        (lambda t: {"p": t["a"].dropna(), "q": t["b"][t.a.notna()]}, DATA, [0, 2], [1]),
        (lambda t: t.sort_values("b", ascending=False), DATA, [0, 1, 2], []),
        (lambda t: t.set_axis([30, 10, 20], axis=0), DATA, [0, 1, 2], []),
        (lambda t: t.groupby("b").agg(n=("a", "sum")), DATA[::-1].reset_index(drop=True), [0, 1, 2], []),
    ],
    ids=["a gap", "the end", "all", "twice", "dict", "sorted", "own numbers", "groups of one"],
)
def test_a_model_says_by_its_index_of_which_rows_it_has_none(read, predict, data, rows, without):
    scored = of_model(predict, data, read)
    first = 0 if read else 10

    if rows:
        assert scored.table["row"].to_pylist() == [first + row for row in rows]
        assert missing(scored) == ({"f.csv": [first + row for row in without]} if without else {})
    else:
        assert scored.table is None or not scored.table.num_rows
        assert scored.failed or missing(scored) == {"f.csv": [first]}
    assert not scored.unattributed


@pytest.mark.parametrize(
    "predict",
    [
        lambda t: t.dropna()["a"].to_numpy(),
        lambda t: pd.DataFrame({"p": t["a"].dropna().to_numpy()}),
        lambda t: t["a"].dropna().tolist(),
        lambda t: pa.table({"p": [1, 2]}),
        lambda t: np.repeat(t["b"].to_numpy(), 2),
        lambda t: [t["b"].mean()],
        lambda t: "one text",
        lambda t: t.assign(k=[1, 1, 2]).groupby("k").agg(n=("a", "sum")),
    ],
    ids=["array", "numbered anew", "list", "arrow", "twice", "one", "text", "groups"],
)
def test_what_a_model_makes_of_a_whole_file_without_an_index_has_no_row_and_the_job_says_so(predict):
    scored = of_model(predict, DATA)

    assert set(scored.table["row"].to_pylist()) == {None}
    assert "nothing states which of them they are of" in scored.unattributed
    assert (scored.failed, scored.failed_rows) == ({}, {})
    scored = of_model(predict, DATA, read=False)
    (why,) = scored.failed.values()
    assert "the model's predict() returned" in why.headline
    assert (why.may_pass, why.of_rows) == (False, False)


def test_a_model_that_returns_nothing_for_a_file_has_failed_it():
    scored = of_model(lambda t: [], DATA)

    assert scored.failed["f.csv"].headline == "predict() returned no row for its 3 rows"


@pytest.mark.parametrize(
    ("result", "columns"),
    [
        (pd.Series([1, 2, 3], index=["x", "y", "z"]), {"index": ["x", "y", "z"], "prediction": [1, 2, 3]}),
        (pd.Series([1, 2, 3], index=[10, 20, 35]), {"index": [10, 20, 35], "prediction": [1, 2, 3]}),
        (pd.Series([1, 2, 3], index=pd.RangeIndex(3, name="n"), name="p"), {"n": [0, 1, 2], "p": [1, 2, 3]}),
        (
            pd.DataFrame({"p": [1, 2, 3]}, index=pd.Index([True, False, True], name="y")),
            {"y": [True, False, True], "p": [1, 2, 3]},
        ),
        (
            pd.DataFrame({"k": [1, 1, 2], "l": [*"aba"], "p": [1, 2, 3]}).set_index(["k", "l"]),
            {"k": [1, 1, 2], "l": [*"aba"], "p": [1, 2, 3]},
        ),
        (pd.DataFrame({"k": [5, 5, 6], "p": [1, 2, 3]}).set_index("k", drop=False), {"k": [5, 5, 6], "p": [1, 2, 3]}),
        (pd.DataFrame({"k": [5, 5, 6]}).set_index(pd.Index([*"xyz"], name="k")), {"_k": [*"xyz"], "k": [5, 5, 6]}),
        (pd.DataFrame({"p": [1, 2, 3]}, index=pd.Categorical([*"xyz"])), {"index": [*"xyz"], "p": [1, 2, 3]}),
        (pd.DataFrame({"p": [1, 2, 3]}, index=[1.5, 2.5, 3.5]), {"index": [1.5, 2.5, 3.5], "p": [1, 2, 3]}),
        (pd.DataFrame({"p": [1, 2, 3]}, index=range(7, 10)), {"p": [1, 2, 3]}),
        (pd.concat([pd.DataFrame({"p": [1, 2]}), pd.DataFrame({"p": [3]})]), {"p": [1, 2, 3]}),
        (pd.DataFrame({("p", "mean"): [1, 2, 3]}, index=[*"xyz"]), {"index": [*"xyz"], "('p', 'mean')": [1, 2, 3]}),
    ],
    ids=[
        *["text", "numbers", "named", "truth", "two levels", "kept twice", "another of this name", "categories"],
        *["fractions", "a range", "two ranges", "columns of two levels"],
    ],
)
def test_an_index_that_means_something_becomes_columns(result, columns):
    scored = of_files(result)

    assert scored.table.to_pydict() == columns
    assert scored.table.column_names == list(columns)


@pytest.mark.parametrize(
    "names",
    [["/in/c.txt", "/in/d/a.png", "/in/d/b.png"], ["c.txt", "a.png", "b.png"], ["c", "a", "b"]],
    ids=["paths", "names", "stems"],
)
def test_an_index_of_files_says_which_file_each_value_is_of(names):
    scored = of_files(pd.Series([0.3, 0.1, 0.2], index=names))

    assert scored.table.to_pydict() == {"prediction": [0.1, 0.2, 0.3], "file": ["d/a.png", "d/b.png", "c.txt"]}
    scored = of_files(pd.DataFrame({"p": [0.3, 0.1]}, index=names[:2]))
    assert scored.table.to_pydict() == {"p": [0.1, 0.3], "file": ["d/a.png", "c.txt"]}
    assert list(scored.failed) == ["d/b.png"]


def test_a_sorted_series_is_of_the_files_that_its_index_numbers():
    assert of_files(pd.Series([0.3, 0.1, 0.2]).sort_values()).table["prediction"].to_pylist() == [0.3, 0.1, 0.2]


def test_a_column_that_was_made_the_index_names_the_files():
    scored = of_files(pd.DataFrame({"file": ["c.txt", "a.png"], "p": [3, 1]}).set_index("file"))

    assert scored.table.to_pydict() == {"file": ["c.txt", "a.png"], "p": [3, 1]}
    assert list(scored.failed) == ["d/b.png"]


@pytest.mark.parametrize(
    "values",
    [
        ["c.txt", "a.png"],
        ["/in/c.txt", "/in/d/a.png"],
        ["c", "a"],
        [["c.txt", 0.3], ["a.png", 0.1]],
        [(0.3, "c"), (0.1, "a")],
        ["c.txt: 0.3", "a.png: 0.1"],
        ["/in/c.txt 0.3", "/in/d/a.png 0.1"],
        ["c,0.3", "a,0.1"],
        np.array(["c.txt", "a.png"]),
    ],
    ids=["names", "paths", "stems", "pairs", "pairs of stems", "text", "text with paths", "text with stems", "array"],
)
def test_fewer_values_that_name_their_files_are_kept_and_the_others_fail(values):
    scored = of_files(values)

    assert scored.table["file"].to_pylist() == ["d/a.png", "c.txt"]
    assert scored.table.column_names == ["prediction", "file"]
    assert "a" in scored.table["prediction"][0].as_py()
    assert {item: (why.headline, why.may_pass) for item, why in scored.failed.items()} == {
        "d/b.png": ("run() returned rows, but none for this file", False)
    }


@pytest.mark.parametrize(
    "records",
    [
        [{"image": "c.txt", "p": 3}, {"image": "a.png", "p": 1}],
        pd.DataFrame({"image": ["c", "a"], "p": [3, 1]}),
        pd.DataFrame({"image": ["/in/c.txt", "/in/d/a.png"], "p": [3, 1]}),
        pa.table({"image": pa.array(["c.txt", "a.png"]).dictionary_encode(), "p": [3, 1]}),
        [pd.DataFrame({"image": ["c.txt"], "p": [3]}), pd.DataFrame({"image": ["a.png"], "p": [1]})],
        [pd.Series({"image": "c.txt", "p": 3}), pd.Series({"image": "a.png", "p": 1})],
        np.array([("c.txt", 3), ("a.png", 1)], dtype=[("image", "U9"), ("p", "i4")]),
    ],
    ids=["dicts", "stems", "paths", "arrow", "DataFrames", "Series", "structured array"],
)
def test_fewer_records_that_name_their_files_are_kept_and_the_others_fail(records):
    scored = of_files(records)

    assert scored.table["p"].to_pylist() == [3, 1]
    assert list(scored.failed) == ["d/b.png"]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (["cat", "a.png"], "run() returned 2 rows for 3 files, and no column says which files they are of"),
        ([0.5], "run() returned 1 row for 3 files, and no column says which files they are of"),
        (np.ones(2), "run() returned 2 rows for 3 files, and no column says which files they are of"),
        ([["cat", 1]], "run() returned 1 row for 3 files, and no column says which files they are of"),
        ([], "run() returned no rows for 3 files"),
    ],
    ids=["labels", "a number", "array", "pairs", "none"],
)
def test_fewer_values_that_name_no_file_are_refused_with_what_to_return(result, message):
    with pytest.raises(RunFailed) as caught:
        of_files(result)

    assert caught.value.what == message
    assert caught.value.mend == "Return one row per file, or a column with the file's name."


def test_fewer_tables_than_files_that_name_none_are_refused():
    frame = pd.DataFrame({"p": range(9)})
    with pytest.raises(ValueError, match="run\\(\\) returned 2 DataFrames for 3 files"):
        of_files([frame, frame])


def test_more_rows_than_files_may_name_them_by_their_stems_if_they_name_all():
    names = ["a", "a", "b", "c"]

    assert of_files(pd.DataFrame({"of": names})).unattributed == ""
    assert of_files([[name, 1] for name in names]).table["file"].to_pylist() == [
        "d/a.png",
        "d/a.png",
        "d/b.png",
        "c.txt",
    ]
    assert "no column says which file each is of" in of_files(pd.DataFrame({"of": ["a", "a", "b", "b"]})).unattributed


@pytest.mark.parametrize(
    "values", [["b.png: 1", "a.png: 2", "c.txt: 3"], [["b", 1], ["a", 2], ["c", 3]]], ids=["text", "pairs"]
)
def test_values_that_name_their_files_in_another_order_get_no_other_name_beside_them(values):
    scored = of_files(values)

    assert scored.table.column_names == ["prediction"]
    assert "in another order than it was given them" in scored.unattributed
    assert not scored.failed


@pytest.mark.parametrize(
    "values",
    [
        ["d/b.png", "d/a.png", "d/a.png"],
        ["b.png", "a.png", "c.txt"],
        ["a: 1", "b: 2", "c: 3"],
        [["a", 1], ["b", 1], ["c", 1]],
    ],
    ids=["the one most alike", "each other", "text in order", "pairs in order"],
)
def test_one_value_for_each_file_is_of_the_file_at_its_place(values):
    scored = of_files(values)

    assert scored.table["file"].to_pylist() == ["d/a.png", "d/b.png", "c.txt"]
    assert not scored.unattributed


def test_of_a_list_of_tables_each_is_of_its_file():
    frames = [
        pd.DataFrame({"box": [1, 2], "p": [0.5, 1.0]}),
        pd.DataFrame(columns=["box", "p"]),
        pd.DataFrame({"box": ["x"]}),
    ]
    scored = of_files(frames)

    assert scored.table.to_pydict() == {
        "box": ["1", "2", "x"],
        "p": [0.5, 1.0, None],
        "file": ["d/a.png", "d/a.png", "c.txt"],
    }
    assert list(scored.failed) == ["d/b.png"], "as where all are one table"


def test_a_reply_with_positions_of_rows_that_were_not_given_is_refused():
    for positions in ([0, 3, 1], [-1, 0, 1], [0, 1], [True, 1, 1], [0.5, 1, 2]):
        with pytest.raises(BadReply):
            received({"kind": "values", "values": [1, 2, 3], "positions": positions}, items=["a", "b", "c"])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["a", "x"], "The input has the columns 'a', 'x'"),
        (
            ["a;b"],
            "The input has one column, 'a;b': is it ';' that separates its columns? Then give it as an MLTable",
        ),
        (["a\tb"], "The input has one column, 'a\\tb': is it a tab that separates its columns?"),
        ([f"c{n}" for n in range(60)], "'c49' and 10 more"),
        ([], "The input has no columns"),
    ],
    ids=["others", "semicolons", "tabs", "many", "none"],
)
def test_missing_inputs_are_told_with_the_columns_there_are(monkeypatch, columns, told):
    class Strict:
        def predict(self, data):
            raise MlflowException("Failed to enforce schema of data '…'. Error: Model is missing inputs ['b'].")

    monkeypatch.setattr(mlflow_driver, "_model", Strict())
    with pytest.raises(MlflowException) as caught:
        mlflow_driver._predict(pd.DataFrame({"a": [1]}), lambda: columns)

    assert str(caught.value).startswith("Model is missing inputs ['b']. The input has")
    assert told in str(caught.value)
