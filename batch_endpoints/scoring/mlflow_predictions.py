"""Predictions of a model as a table, whatever they are.

Loaded by mlflow_driver.py, under the same rules: in an interpreter that has none of our packages.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def framed(result: Any) -> pd.DataFrame:
    """Predictions as a table, with the index that pandas keeps with them."""
    result = _known(result)
    if isinstance(result, pd.DataFrame):
        numbered = list(result.columns) == list(range(len(result.columns)))
        return result.set_axis(_names(len(result.columns)), axis=1) if numbered else result
    if isinstance(result, pd.Series):
        return result.to_frame("prediction" if result.name is None else result.name)
    if isinstance(result, dict):
        columns = list(result.values())
        if columns and all(isinstance(one, pd.Series) and one.index.equals(columns[0].index) for one in columns):
            return pd.DataFrame(result)
        return pd.DataFrame({name: list(_rows(values)) for name, values in result.items()}, dtype=object)
    if isinstance(result, (list, tuple)) and result and all(isinstance(one, dict) for one in result):
        return pd.DataFrame(list(result), dtype=object)
    values = _array(result)
    if values.dtype.names:
        return pd.DataFrame.from_records(values)
    if values.ndim == 2:
        return pd.DataFrame(values, columns=_names(values.shape[1]))
    if values.ndim == 1:
        return pd.DataFrame({"prediction": values})
    return pd.DataFrame({"prediction": [value.tolist() for value in np.atleast_1d(values)]})


def _known(result: Any) -> Any:
    """A table of another library, or a list of tables or rows of them, as a DataFrame; what is sparse or masked as an
    array."""
    if isinstance(result, (list, tuple)) and result:
        if all(isinstance(one, pd.DataFrame) for one in result):
            return pd.concat(list(result))
        if all(isinstance(one, pd.Series) for one in result):
            return pd.DataFrame([one.to_dict() for one in result], dtype=object)
    if hasattr(result, "to_arrow"):  # polars
        result = result.to_arrow()
    if type(result).__module__.split(".")[0] == "pyarrow" and hasattr(result, "to_pandas"):
        return result.to_pandas(integer_object_nulls=True)
    if isinstance(result, np.ma.MaskedArray):
        return np.array(result.tolist(), dtype=object)
    return result.toarray() if hasattr(result, "toarray") else result


def _rows(values: Any) -> Any:
    """One value for each row; a single value is one row."""
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__len__"):
        return [values]
    return [values] if getattr(values, "ndim", 1) == 0 else values


def _array(result: Any) -> Any:
    if result is None:
        raise TypeError("the model's predict() returned None")
    # an array of a list would have one type for all of its values, and text for what is missing beside text
    of_arrays = isinstance(result, (list, tuple)) and all(isinstance(one, np.ndarray) for one in result)
    kind = object if isinstance(result, (list, tuple)) and not of_arrays else None
    try:
        return np.asarray(result, dtype=kind)
    except ValueError:  # lists of different lengths
        values = np.empty(len(result), dtype=object)
        values[:] = result
        return values


def _names(count: int) -> list[str]:
    return ["prediction"] if count == 1 else [f"prediction_{index}" for index in range(count)]
