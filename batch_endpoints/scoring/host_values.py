"""Values that ``run()`` returned, as a reply can hold them: by type where they have one, otherwise as JSON or text.

A missing value is None whatever it is called (``NaN`` beside text, ``pandas.NA``, ``NaT``), and nothing is a printed
form that leaves some of its values out.

Loaded by host.py, under the same rules: standard library only, other libraries only where the script has them;
Python 3.8's syntax.
"""

from __future__ import annotations

import decimal
import functools
import importlib.util
import json
import os
import sys
from typing import Any

_TEXT_TYPES = ("string", "large_string", "string_view", "null")


def encode(result: Any) -> tuple[dict[str, Any], bytes]:
    """A list, an array or a table -> a reply.

    Raises:
        TypeError: it is none of these.
    """
    if is_frame(result):
        return _encode_frame(result)
    pa = sys.modules.get("pyarrow")
    table = arrow_table(result)
    if table is not None:
        check_names(table.column_names, _named(result))
        return _stream(pa, table)
    if _is_polars(result, "DataFrame"):  # without pyarrow
        columns = result.to_dict(as_series=False)
        return _as_json(list(columns), list(columns.values()), len(result))
    column = _typed(result)
    if column is not None:
        pa = sys.modules["pyarrow"]
        header, payload = _stream(pa, pa.Table.from_arrays([column], names=["prediction"]))
        return {**header, "single": True}, payload
    result = _as_list(result)
    if not isinstance(result, (list, tuple)):
        raise TypeError(f"run() returned {_kind(result)}; it must return a list, a tuple or a pandas.DataFrame")
    return {"kind": "values", "values": [plain(value) for value in result]}, b""


def is_frame(value: Any) -> bool:
    """Is it a DataFrame of pandas?"""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def is_series(value: Any) -> bool:
    """Is it a Series of pandas?"""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.Series)


def arrow_table(value: Any) -> Any:
    """A table of pyarrow, polars or another library that shares Arrow's memory; None where it is none."""
    pa = sys.modules.get("pyarrow")
    if pa is None and _is_polars(value, "DataFrame"):
        pa = _pyarrow()
    if pa is None:
        return None
    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    return value.to_arrow() if _is_polars(value, "DataFrame") else None


def joined(frames: Any) -> Any:
    """The rows of several DataFrames, under all of their columns: no value changes for what another one has."""
    pandas = sys.modules["pandas"]
    frames = [frame.set_axis([text(name) for name in frame.columns], axis=1) for frame in frames]
    for frame in frames:
        check_names(list(frame.columns), "DataFrame")
    if len(frames) == 1:
        return frames[0].reset_index(drop=True)
    columns = {}
    for name in dict.fromkeys(name for frame in frames for name in frame.columns):
        pieces = [
            frame[name] if name in frame.columns else pandas.Series([None] * len(frame), dtype=object)
            for frame in frames
        ]
        if len({str(piece.dtype) for piece in pieces}) == 1:
            columns[name] = pandas.concat(pieces, ignore_index=True)
        else:  # whole numbers would become others where they meet fractions, or nothing
            columns[name] = pandas.Series([value for piece in pieces for value in piece.tolist()], dtype=object)
    return pandas.DataFrame(columns, index=range(sum(map(len, frames))))


def check_names(names: list[str], noun: str) -> None:
    """Raises ValueError where two columns have one name."""
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"run() returned a {noun} with more than one column '{twice[0]}'")


def plain(value: Any) -> Any:
    """A value as JSON can hold it; anything unknown as its text, as Azure ML writes it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if is_missing(value):
        return None
    if is_frame(value):
        value = value if _is_numbered(value.index) else value.reset_index()
        names = [text(name) for name in value.columns]
        columns = [_column_values(value.iloc[:, at]) for at in range(len(names))]
        return [dict(zip(names, map(plain, row))) for row in zip(*columns)]
    if is_series(value):
        values, labels = list(map(plain, _column_values(value))), value.index
        if _is_numbered(labels):
            return values
        if labels.is_unique:
            return dict(zip(map(text, labels), values))
        return [[plain(label), one] for label, one in zip(labels.tolist(), values)]
    unpacked = _unpacked(value)
    return text(value) if type(unpacked) is type(value) else plain(unpacked)  # numpy's longdouble has no other form


def is_missing(value: Any) -> bool:
    """Does it stand for no value? ``NaN`` does among text and whole numbers, not in a list of fractions."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, float):
        return value != value
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    return type(value).__name__ in ("datetime64", "timedelta64") and str(value) == "NaT"


def text(value: Any) -> str:
    """``str()`` that can be stored: names of files may hold bytes that are no text."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        return None
    return pyarrow


def _is_polars(value: Any, name: str) -> bool:
    return _library(value) == "polars" and type(value).__name__ == name


def _is_numbered(index: Any) -> bool:
    """Has nobody named or chosen these labels?"""
    return index.nlevels == 1 and index.name is None and index.dtype.kind in "iu"


def _encode_frame(frame: Any) -> tuple[dict[str, Any], bytes]:
    names = [text(name) for name in frame.columns]
    check_names(names, "DataFrame")
    columns = [frame.iloc[:, at] for at in range(len(names))]
    pa = _pyarrow()
    if pa is None:
        return _as_json(names, [_column_values(column) for column in columns], len(frame))
    return _stream(pa, pa.Table.from_arrays([_arrow(pa, column) for column in columns], names=names))


def _as_json(names: list[str], columns: list[list[Any]], rows: int) -> tuple[dict[str, Any], bytes]:
    data = [[plain(value) for value in column] for column in columns]
    return {"kind": "columns", "names": [text(name) for name in names], "data": data, "rows": rows}, b""


def _stream(pa: Any, table: Any) -> tuple[dict[str, Any], bytes]:
    for field in table.schema:
        if "_union<" in str(field.type):
            raise TypeError(
                f"run() returned column '{field.name}' of type {field.type}, and no output keeps the types of a "
                "union's values; return a column for each of them, or text"
            )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return {"kind": "table", "rows": table.num_rows}, sink.getvalue().to_pybytes()


def _typed(result: Any) -> Any:
    """A list of values that have a type of their own, as an Arrow column; None where it is none, or of text."""
    pa = _pyarrow() if hasattr(result, "dtype") or hasattr(result, "to_pylist") else None
    if pa is None:
        return None
    if isinstance(result, (pa.Array, pa.ChunkedArray)):
        column = result
    elif _is_polars(result, "Series"):
        column = result.to_arrow()
    elif getattr(result, "ndim", 0) == 1 and _library(result) == "numpy":
        column = _of_numpy(pa, result)
    elif getattr(result, "ndim", 0) == 1 and _library(result) == "pandas":
        series = result if is_series(result) else sys.modules["pandas"].Series(result)
        of_numpy = isinstance(series.dtype, sys.modules["numpy"].dtype)
        column = _of_numpy(pa, series.to_numpy()) if of_numpy else _arrow(pa, series)
    else:
        return None
    return None if column is None or str(column.type) in _TEXT_TYPES else _storable(pa, column)


def _of_numpy(pa: Any, array: Any) -> Any:
    """Numbers, truth, bytes and times of numpy; None for all else."""
    if array.dtype.kind not in "biufMmS":
        return None
    mask = getattr(array, "mask", None)  # of a masked array
    try:
        if mask is None:
            return pa.array(array)
        return pa.array(array.data, mask=mask if getattr(mask, "shape", ()) else None)
    except (pa.ArrowException, TypeError, ValueError):
        return None  # such as a float of 16 bytes, or days in weeks


def _arrow(pa: Any, column: Any) -> Any:
    """A column as every output format can hold it: categories as what they stand for, odd types as text."""
    if type(column.dtype).__name__ == "SparseDtype":
        column = column.sparse.to_dense()
    try:
        array = (
            _host_objects().of_objects(pa, column, is_missing)
            if column.dtype == object
            else pa.Array.from_pandas(column)
        )
        array = None if array is None else _storable(pa, array)
        if array is not None and not isinstance(array.type, pa.BaseExtensionType):
            return array
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pass  # a column of mixed types
    return pa.array([None if is_missing(value) else _cell(value) for value in _column_values(column)], pa.string())


@functools.lru_cache(maxsize=None)
def _host_objects() -> Any:
    """The file of that name beside this one; our package is not there to import it from."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "host_objects.py")
    spec = importlib.util.spec_from_file_location("_host_host_objects", place)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _storable(pa: Any, array: Any) -> Any:
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    return array.cast(pa.float32()) if pa.types.is_float16(array.type) else array


def _cell(value: Any) -> str:
    """A value of a column of mixed types: what holds others as JSON, all else as its text."""
    found = plain(value)
    return json.dumps(_without_nan(found), ensure_ascii=False) if isinstance(found, (list, dict)) else text(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if is_missing(value) else value


def _column_values(column: Any) -> list[Any]:
    values = column.tolist()
    if getattr(column.dtype, "kind", "") in "fO":  # there NaN may be the number, and is for JSON to hold
        return list(values)
    return [None if is_missing(value) else value for value in values]


def _as_list(result: Any) -> Any:
    """An array of any library as a list, a lone number of one as a list of it; all else as it is."""
    unpacked = _unpacked(result)
    return unpacked if unpacked is result or isinstance(unpacked, list) else [unpacked]


def _unpacked(value: Any) -> Any:
    """An array, or a number of one, as Python has it: of numpy, pyarrow, polars, torch, TensorFlow and others."""
    if isinstance(value, (str, bytes, list, tuple, dict, type)):
        return value
    dtype: Any = getattr(value, "dtype", None)
    if getattr(dtype, "names", None) and hasattr(value, "tolist"):  # a table, or a row of one
        rows = value.tolist()
        return [dict(zip(dtype.names, row)) for row in rows] if value.ndim == 1 else rows
    if getattr(dtype, "kind", "") in "mM" and _library(value) == "numpy":
        values = value.tolist()
        return _times(value.astype(str).tolist()) if _holds_numbers(values) else values
    for unpack in ("to_dicts", "to_pylist", "as_py", "to_list", "tolist", "numpy"):
        if callable(getattr(value, unpack, None)):
            return getattr(value, unpack)()
    return value


def _holds_numbers(values: Any) -> bool:
    """Are these times nanoseconds since 1970, of which nobody would see what they are?"""
    while isinstance(values, list) and values:
        values = values[0]
    return isinstance(values, int)


def _times(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_times(one) for one in texts]
    return None if texts == "NaT" else texts


def _library(value: Any) -> str:
    return str(type(value).__module__).split(".")[0]


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    noun = _named(value)
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def _named(value: Any) -> str:
    library, noun = _library(value), type(value).__name__
    return noun if library == "builtins" else f"{library}.{noun}"
