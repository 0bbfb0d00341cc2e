"""Tables for a script, in the host process: what its ``run()`` declares, and an Arrow stream as that.

Loaded by host.py, under the same rules: standard library only, and pyarrow where tables cross; Python 3.8's syntax.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

_DECLARED = (
    ("pandas", r"(pandas\..*|pd\.)?DataFrame"),
    ("pyarrow", r"(pyarrow\..*|pa\.)?Table"),
    ("numpy", r"(typing\.)?[dD]ict\[.*"),
)


def declared_format(run: Any) -> str:
    """What the annotation of the first parameter says: ``pandas``, ``pyarrow``, ``numpy``; otherwise ``files``."""
    try:
        parameters = list(inspect.signature(run).parameters.values())
    except (TypeError, ValueError):
        return "files"
    kind = parameters[0].annotation if parameters else ""
    if isinstance(kind, type) and getattr(kind, "__origin__", None) is None and not hasattr(kind, "__args__"):
        text = f"{kind.__module__}.{kind.__qualname__}"
    else:
        text = str(kind)
    found = [name for name, pattern in _DECLARED if re.fullmatch(pattern, text.strip("'\" "))]
    return found[0] if found else "files"


def table_as(form: str, payload: bytes) -> Any:
    """The table of an Arrow stream, as a pyarrow.Table, a pandas.DataFrame or a dict of numpy arrays by column."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        table = reader.read_all()
    if form == "pyarrow":
        return table
    if form == "numpy":
        return {name: table.column(name).to_numpy() for name in table.column_names}
    frame = table.to_pandas()
    if (table.schema.metadata or {}).get(b"text"):  # a missing text is NaN, as where pandas reads the file
        for name in [name for name, kind in frame.dtypes.items() if kind.kind == "O" and kind.name == "object"]:
            frame[name] = frame[name].where(frame[name].notna(), float("nan"))
    return frame


def check_tables(form: str) -> None:
    """Raises ImportError where this interpreter cannot be given a table in this form."""
    for name in ("pyarrow", form):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"run() gets tables ({form}), which takes {name}: add it to the deployment's environment ({error})"
            ) from None
