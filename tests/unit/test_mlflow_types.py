"""What a model without a script is given: columns as its signature wants them, whatever other rows there are."""

import mlflow.types
import numpy as np
import pandas as pd
import pytest
from mlflow.models.utils import _enforce_schema
from mlflow.types import ColSpec, Schema, TensorSpec

from batch_endpoints.scoring import mlflow_driver


def typed(kind, values):
    """One column as the model gets it behind MLflow's own check."""
    schema = Schema([ColSpec(kind, "c")])
    return _enforce_schema(mlflow_driver._typed(pd.DataFrame({"c": values}), schema), schema)["c"]


@pytest.mark.parametrize("rows", [["2024-03-04", "2024-04-13T12:30:00"], ["2024-03-04"]])
def test_dates_are_iso_8601(rows):
    assert typed("datetime", rows)[0] == pd.Timestamp(2024, 3, 4)


@pytest.mark.parametrize("rows", [["13/04/2024", "03/04/2024"], ["03/04/2024"], [None, "04.03.2024"]])
def test_dates_that_other_rows_would_decide_are_refused(rows):
    bad = next(row for row in rows if row)
    with pytest.raises(ValueError, match=rf"column 'c' holds '{bad}', which is no date as ISO 8601 writes it"):
        typed("datetime", rows)


def test_dates_with_an_offset_are_of_utc_also_beside_others():
    found = typed("datetime", ["2024-01-01T00:00:00+02:00", "2024-01-01", None, "2024-01-01T12:00:00Z"])
    assert found.tolist()[:2] == [pd.Timestamp("2023-12-31 22:00"), pd.Timestamp("2024-01-01")]
    assert found.tolist()[3] == pd.Timestamp("2024-01-01 12:00")
    assert pd.isna(found[2])


def test_a_file_that_is_read_whole_has_its_dates_by_the_same_rule(tmp_path):
    schema = Schema([ColSpec("datetime", "c"), ColSpec("string", "t")])
    path = tmp_path / "a.csv"
    path.write_text("c,t\n2024-03-04,007\n,x\n")
    found = mlflow_driver._read_csv(str(path), schema)
    assert (found["c"][0], found["t"][0]) == (pd.Timestamp(2024, 3, 4), "007")
    path.write_text("c,t\n03/04/2024,x\n")
    with pytest.raises(ValueError, match="'03/04/2024', which is no date"):
        mlflow_driver._read_csv(str(path), schema)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint64", "Int64"])
@pytest.mark.parametrize("kind", ["double", "float", "long", "integer"])
def test_whole_numbers_are_what_the_signature_wants_where_that_changes_none(dtype, kind):
    found = typed(kind, pd.Series([0, 5, 100], dtype=dtype))
    assert found.tolist() == [0, 5, 100]
    assert found.dtype == {"double": "float64", "float": "float32", "long": "int64", "integer": "int32"}[kind]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("double", (1 << 53) + 1), ("float", (1 << 24) + 1), ("integer", 1 << 31), ("double", (1 << 63) - 1)],
)
def test_a_number_that_would_change_is_told(kind, value):
    with pytest.raises(ValueError, match=f"column 'c' holds {value}, which no {kind} can hold"):
        typed(kind, [1, value])


def test_missing_whole_numbers_are_missing_doubles_and_no_longs():
    column = pd.Series([1, None], dtype="Int64")
    assert typed("double", column).fillna(-1).tolist() == [1, -1]
    with pytest.raises(mlflow.MlflowException, match="Incompatible input types for column c"):
        typed("long", column)


def test_a_column_of_another_kind_is_for_mlflow_to_refuse():
    with pytest.raises(mlflow.MlflowException, match="Incompatible input types for column c"):
        typed("string", pd.Series([1, None], dtype="Int64"))


def test_without_a_signature_missing_whole_numbers_are_as_pandas_reads_them():
    found = mlflow_driver._typed(pd.DataFrame({"c": pd.Series([1, None], dtype="Int64"), "t": ["x", "y"]}), None)
    assert found["c"].dtype == "float64"
    assert mlflow_driver._typed(found.assign(c=pd.Series([1, 2], dtype="Int64")), None)["c"].dtype == "float64"


def test_without_a_signature_numbers_that_no_double_holds_stay_what_they_are_where_another_row_lacks_one(tmp_path):
    ids = [9007199254740993, None, 9007199254740995]
    column = mlflow_driver._typed(pd.DataFrame({"c": pd.Series(ids, dtype="Int64")}), None)["c"]
    assert (column.dtype, column.fillna(0).tolist()) == ("Int64", [ids[0], 0, ids[2]])
    pd.DataFrame({"c": pd.Series(ids, dtype="Int64"), "f": [1e300, None, 0.5]}).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(f"c,f\n{ids[0]},1e300\n,\n{ids[2]},0.5\n")
    for path in tmp_path.iterdir():
        frame = mlflow_driver._read(str(path), None)
        assert frame.dtypes.astype(str).to_dict() == {"c": "Int64", "f": "float64"}
        assert frame["c"].fillna(0).tolist() == [ids[0], 0, ids[2]]
    (tmp_path / "a.csv").write_text("c\n5\n\n")
    assert mlflow_driver._read(str(tmp_path / "a.csv"), None)["c"].dtype == "int64", "a blank line is no row"


NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("float64", "1,,3\n4,5,6\n", [[1, NAN, 3], [4, 5, 6]]),
        ("float64", '"1","2","3"\n4,5,6\n', [[1, 2, 3], [4, 5, 6]]),
        ("float64", "\ufeff1,2,3\n4,5,6\n", [[1, 2, 3], [4, 5, 6]]),
        ("float32", "a,b,c\n0.1,,3\n", [[np.float32(0.1), NAN, 3]]),
        ("int64", "1.0,2,3\n", [[1, 2, 3]]),
        ("int64", "a,b,c\n9007199254740993,2,3\n", [[9007199254740993, 2, 3]]),
    ],
    ids=["a gap in the first line", "quotes", "byte order mark", "fractions", "whole fractions", "large"],
)
def test_no_row_of_a_tensor_in_text_is_taken_for_a_header(tmp_path, kind, text, expected):
    (tmp_path / "a.csv").write_text(text)
    schema = Schema([TensorSpec(np.dtype(kind), (-1, 3))])

    found = mlflow_driver._read_csv(str(tmp_path / "a.csv"), schema)

    np.testing.assert_array_equal(found, expected)
    assert found.dtype == kind


@pytest.mark.parametrize(
    ("kind", "values"),
    [("int64", [4, 1.5]), ("int64", [4, None]), ("uint8", [4, 256]), ("int8", [-129]), ("int32", [2**31])],
    ids=str,
)
def test_a_number_that_a_tensor_of_whole_numbers_cannot_hold_is_no_other_number(tmp_path, kind, values):
    frame, schema = pd.DataFrame({"c": values}), Schema([TensorSpec(np.dtype(kind), (-1, 1))])
    frame.to_csv(tmp_path / "a.csv", index=False)

    with pytest.raises((ValueError, TypeError)):
        mlflow_driver._typed(frame, schema)
    with pytest.raises(ValueError, match=f"which no {kind} can hold"):
        mlflow_driver._read_csv(str(tmp_path / "a.csv"), schema)
