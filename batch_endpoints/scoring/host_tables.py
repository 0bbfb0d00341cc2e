"""Tables for a script, in the host process: what its ``run()`` declares, and an Arrow stream as that.

Loaded by host.py, under the same rules: standard library only, and pyarrow where tables cross; Python 3.8's syntax.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from typing import Any, Union

_DECLARED = (
    ("pandas", r"(pandas\..*|pd\.)?DataFrame"),
    ("pyarrow", r"(pyarrow\..*|pa\.)?Table"),
    ("numpy", r"(typing\.)?[dD]ict\[.*"),
)


def declared_format(run: Any, default: str = "files") -> str:
    """What the annotation of the first parameter says: ``pandas``, ``pyarrow``, ``numpy``; otherwise ``files``.

    Args:
        default: where there is none.
    """
    try:
        parameters = list(inspect.signature(run).parameters.values())
    except (TypeError, ValueError):
        return default
    kind = parameters[0].annotation if parameters else ""
    if kind is inspect.Parameter.empty:
        return default
    texts = [_named(one) for one in _alternatives(kind, getattr(inspect.unwrap(run), "__globals__", {}))]
    found = [name for name, pattern in _DECLARED if any(re.fullmatch(pattern, text) for text in texts)]
    return found[0] if found else "files"


def _alternatives(kind: Any, names: Any) -> Any:
    """What an annotation allows: itself, or one of several; as text where nobody here knows what that means."""
    if isinstance(kind, str):
        text = kind.strip("'\" ")
        optional = re.fullmatch(r"(?:typing\.)?Optional\[(.*)\]", text)
        for one in (optional.group(1) if optional else text).split("|"):
            try:
                yield eval(one, names)
            except Exception:
                yield one.strip()
    elif getattr(kind, "__origin__", None) is Union or type(kind).__name__ == "UnionType":
        yield from kind.__args__
    else:
        yield kind


def _named(kind: Any) -> str:
    plain = isinstance(kind, type) and getattr(kind, "__origin__", None) is None and not hasattr(kind, "__args__")
    return f"{kind.__module__}.{kind.__qualname__}" if plain else str(kind)


def table_as(form: str, payload: bytes) -> Any:
    """The table of an Arrow stream, as a pyarrow.Table, a pandas.DataFrame or a dict of numpy arrays by column.

    What a column of whole numbers or of truth is, does not depend on its rows: where one lacks a value anywhere in
    the input, whole numbers are Int64 and the like in pandas, and all else is objects, with None.
    """
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        table = reader.read_all()
    if form == "pyarrow":
        return table
    if not table.num_rows:  # Arrow ends the process where a column without any chunk becomes objects
        table = table.schema.empty_table()
    for field in table.schema:
        if "_union<" in str(field.type):
            raise TypeError(_no_type(field.name, field.type, form))
    said = table.schema.metadata or {}
    missing = json.loads(said.get(b"missing", b"[]"))
    for at, field in enumerate(table.schema):
        if pa.types.is_run_end_encoded(field.type):  # nothing in it states whether a value is missing
            import pyarrow.compute as pc

            chunks = [pc.run_end_decode(chunk) for chunk in table.column(at).chunks]
            table = table.set_column(at, field.name, pa.chunked_array(chunks, field.type.value_type))
            if pa.types.is_integer(field.type.value_type) or pa.types.is_boolean(field.type.value_type):
                missing.append(field.name)
    if form == "numpy":
        for at, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):  # of which Arrow makes any category where a value is missing
                table = table.set_column(at, field.name, table.column(at).cast(field.type.value_type))
        return {name: _array(pa, name, table.column(name), name in missing) for name in table.column_names}
    frame = _frame(pa, table)
    for field in table.schema:
        if field.name in missing and field.name in frame and not pa.types.is_dictionary(field.type):
            frame[field.name] = _series(pa, table.column(field.name), field.type, frame.index)
    if said.get(b"text"):  # a missing text is NaN, as where pandas reads the file
        for name in [name for name, kind in frame.dtypes.items() if kind.kind == "O" and kind.name == "object"]:
            frame[name] = frame[name].where(frame[name].notna(), float("nan"))
    return frame


def _frame(pa: Any, table: Any) -> Any:
    """The table in pandas; columns that Arrow does not convert, as of lists of bytes of one length, as objects."""
    try:
        return table.to_pandas()
    except (pa.ArrowException, LookupError, ValueError, NotImplementedError):
        pass
    import pandas

    objects = {}
    for at, name in enumerate(table.column_names):
        column = table.column(at)
        try:
            column.to_pandas()
        except (pa.ArrowException, LookupError, ValueError, NotImplementedError):
            objects[name] = _objects(pa, name, column, "pandas")
            table = table.set_column(at, name, pa.nulls(table.num_rows))
    frame = table.to_pandas()
    for name, values in objects.items():
        frame[name] = pandas.Series(values, index=frame.index, dtype=object)
    return frame


def _objects(pa: Any, name: str, column: Any, form: str) -> Any:
    """Its values as Python has them. Raises TypeError where it has no such value."""
    try:
        if "time64[ns]" in str(column.type):
            raise ValueError("a time has no nanoseconds there")  # Arrow would leave them out
        return column.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise TypeError(f"{_no_type(name, column.type, form)} ({error})") from None


def _no_type(name: str, kind: Any, form: str) -> str:
    why = "has none for unions" if "_union<" in str(kind) else "cannot hold one of its values"
    return f"column '{name}' has the type {kind}, and {form} {why}; let run() take a pyarrow.Table"


def _array(pa: Any, name: str, column: Any, missing: bool) -> Any:
    import numpy

    if not missing:
        try:
            array = column.to_numpy()
        except (pa.ArrowException, LookupError, ValueError, NotImplementedError):
            pass
        else:
            return array if array.flags.writeable else array.copy()
    values = _objects(pa, name, column, "numpy")
    array = numpy.empty(len(values), dtype=object)
    array[:] = values
    return array


def _series(pa: Any, column: Any, kind: Any, index: Any) -> Any:
    import pandas

    if not pa.types.is_integer(kind):
        return pandas.Series(column.to_pylist(), index=index, dtype=object)
    name = str(kind).replace("i", "I").replace("uI", "UI")  # uint8 is UInt8
    values = pandas.array(column.fill_null(0).to_numpy(), dtype=name)
    values[column.is_null().to_numpy()] = pandas.NA
    return pandas.Series(values, index=index)


def as_given(given: Any, rows: Any, payload: bytes) -> Any:
    """What ``run()`` is given of a table, before it may change it.

    Args:
        given: the class ``Given`` of host_index.
        rows: what ``table_as`` returned.
        payload: what it was made of.
    """
    import pyarrow as pa

    def column(name: str) -> Any:
        with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
            table = reader.read_all()
        return table.column(name).to_pandas() if table.column_names.count(name) == 1 else None

    if isinstance(rows, dict):
        return given(len(next(iter(rows.values()), ())), column=column)
    return given(len(rows), index=getattr(rows, "index", None), column=column)


def columns_of_file(payload: bytes) -> Any:
    """The columns of the file that a table was read from, of which it may have some."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        there = (reader.schema.metadata or {}).get(b"columns")
        return json.loads(there) if there else reader.schema.names


def check_tables(form: str) -> None:
    """Raises ImportError where this interpreter cannot be given a table in this form."""
    for name in ("pyarrow", form):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"run() gets tables ({form}), which takes {name}: add it to the deployment's environment ({error})"
            ) from None


def first_values(payload: bytes, keys: Any) -> Any:
    """Of the columns with these names the value in the first row, as Python has it."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        table = reader.read_all()
    there = [key for key in keys if table.num_rows and table.column_names.count(key) == 1]
    return {key: table.column(key)[0].as_py() for key in there}
