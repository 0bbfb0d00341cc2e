"""The host process: loads the user's script and calls ``init()`` and ``run()``.

It runs under the deployment's own interpreter, which may be another Python version without any of our packages:
only the standard library is imported (pyarrow when a table has to cross), and the syntax is Python 3.8's.

Started as ``python host.py <read fd> <write fd>``. A frame is two big-endian integers (4 bytes: length of the header,
8 bytes: length of the payload), a JSON header and a payload. Requests and replies alternate; a reply has the number
of its request. The worker reads them in replies.py, which declares each field of a header:

    {"number", "op": "init", "script", "code", "log_level", "format", "azure_layout"}
                                                   -> {"kind": "loaded", "format": what run() gets}
                                                    | {"kind": "error", "error"}
    {"number", "op": "run"} and an Arrow IPC stream, where run() gets tables, otherwise
    {"number", "op": "run", "paths": [...]}        -> {"kind": "values", "values": [...]}
                                                    | {"kind": "table", "rows": n} and an Arrow IPC stream
                                                    | {"kind": "columns", "names", "data", "rows"}, without pyarrow
                                                    | {"kind": "items", "items": [{"rows"} | {"error"}], "table"}
                                                    | {"kind": "error", "error"}
    Where init asks for "azure_layout", the first three have "text" besides. Each item has "read": rows of its file.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import json
import os
import struct
import sys
import traceback
import types
from typing import Any, BinaryIO

HEADER = struct.Struct(">IQ")
MOST_HEADER_BYTES, MOST_PAYLOAD_BYTES = 1 << 27, 1 << 32
"""Of a reply: a larger one is refused, and so is its host."""
DRIVER_FOLDER = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    reader, writer = int(sys.argv[1]), int(sys.argv[2])
    for fd in (reader, writer):
        os.set_inheritable(fd, False)  # the user's child processes must not keep the pipes open
    _beside("host_family").leave_nothing_behind(reader, writer)
    source, sink = os.fdopen(reader, "rb", closefd=False), os.fdopen(writer, "wb", closefd=False)
    state: dict[str, Any] = {}
    while True:
        request = _read_frame(source)
        if request is None:
            return
        try:
            frame = _frame(request[0], *_answer(request[0], request[1], state))
        except BaseException as error:  # the user's init() or run(), sys.exit() and the like included
            frame = _frame(request[0], {"kind": "error", "error": _describe(error, state.get("code", ""))}, b"")
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the script may have closed or replaced them
                stream.flush()
        for part in frame:
            sink.write(part)
        sink.flush()


def _answer(request: dict[str, Any], table: bytes, state: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    if request["op"] == "init":
        state["code"] = request["code"]
        state["module"], state["tables"] = _load(request), _beside("host_tables")
        if request.get("azure_layout"):
            state["layout"] = _beside("host_azure_layout").AzureLayout(os.path.dirname(request["script"]))
        state["format"] = request.get("format") or state["tables"].declared_format(
            getattr(state["module"], "run", None)
        )
        if state["format"] != "files":
            state["tables"].check_tables(state["format"])
        init = getattr(state["module"], "init", None)
        if init is not None:
            init()
        return {"kind": "loaded", "format": state["format"]}, b""
    module = state["module"]
    if "paths" not in request:
        given = state["tables"].table_as(state["format"], table)
        if hasattr(module, "run_table"):
            return _items([(module.run_table(given), None)], state["code"])
        return _reply(module.run(given), state.get("layout"))
    if hasattr(module, "run_items"):
        return _items(module.run_items(request["paths"]), state["code"])
    return _reply(module.run(list(request["paths"])), state.get("layout"))


def _load(request: dict[str, Any]) -> Any:
    script, code = request["script"], request["code"]
    if not os.path.isfile(script):
        raise FileNotFoundError(f"the code folder has no file '{os.path.relpath(script, code)}'")
    sys.argv = [script]
    rest = [p for p in sys.path if os.path.abspath(p or ".") != DRIVER_FOLDER]
    sys.path[:] = rest
    _beside("host_surroundings").set_up(list(dict.fromkeys([os.path.dirname(script), code])), request["log_level"])
    name = os.path.splitext(os.path.basename(script))[0]
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{os.path.basename(script)} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not (callable(getattr(module, "run", None)) or hasattr(module, "run_items")):
        raise _NoRun("the scoring script has no function run(mini_batch)", script)
    return module


@functools.lru_cache(maxsize=None)
def _beside(name: str) -> Any:
    """A file beside this one; our package is not there to import it from."""
    spec = importlib.util.spec_from_file_location(f"_host_{name}", os.path.join(DRIVER_FOLDER, f"{name}.py"))
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


class _NoRun(Exception):
    """The script lacks what it is called by."""

    def __init__(self, message: str, script: str) -> None:
        super().__init__(message)
        self.script = script
        self.line = _last_line(script)


def _last_line(script: str) -> int:
    with open(script, "rb") as file:
        body = ast.parse(file.read()).body
    return body[-1].lineno if body else 1


def _reply(result: Any, layout: Any) -> tuple[dict[str, Any], bytes]:
    """What run() returned -> a reply."""
    if layout is None:
        return _encode(result)
    header, payload = _encode(layout.numbered(result))
    return {**header, "text": layout.text(result)}, payload


def _encode(result: Any) -> tuple[dict[str, Any], bytes]:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(result, pandas.DataFrame):
        return _encode_table(result)
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(result, pyarrow.Table):
        _check_names(result.column_names, "pyarrow.Table")
        return _stream(pyarrow, result)
    if type(result).__module__.split(".")[0] in ("numpy", "pandas") and hasattr(result, "tolist"):
        result = result.tolist()
        result = result if isinstance(result, list) else [result]
    if not isinstance(result, (list, tuple)):
        raise TypeError(f"run() returned {_kind(result)}; it must return a list, a tuple or a pandas.DataFrame")
    return {"kind": "values", "values": [_plain(value) for value in result]}, b""


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    module, noun = type(value).__module__, type(value).__name__
    noun = noun if module == "builtins" else f"{module.split('.')[0]}.{noun}"
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def _encode_table(frame: Any) -> tuple[dict[str, Any], bytes]:
    names = [_text(name) for name in frame.columns]
    _check_names(names, "DataFrame")
    columns = [frame.iloc[:, at] for at in range(len(names))]
    try:
        import pyarrow as pa
    except ImportError:
        data = [[_plain(value) for value in column.tolist()] for column in columns]
        return {"kind": "columns", "names": names, "data": data, "rows": len(frame)}, b""
    return _stream(pa, pa.Table.from_arrays([_arrow(pa, column) for column in columns], names=names))


def _check_names(names: list[str], noun: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"run() returned a {noun} with more than one column '{twice[0]}'")


def _stream(pa: Any, table: Any) -> tuple[dict[str, Any], bytes]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return {"kind": "table", "rows": table.num_rows}, sink.getvalue().to_pybytes()


def _arrow(pa: Any, column: Any) -> Any:
    """A column as every output format can hold it: categories as what they stand for, odd types as text."""
    try:
        array = pa.Array.from_pandas(column)
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        if pa.types.is_float16(array.type):
            array = array.cast(pa.float32())
        if not isinstance(array.type, pa.BaseExtensionType):
            return array
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pass  # a column of mixed types
    return pa.array([None if _missing(value) else _text(value) for value in column], pa.string())


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _items(results: Any, code: str) -> tuple[dict[str, Any], bytes]:
    """Results by item, each a DataFrame or an exception, with the rows that were read -> a reply."""
    import pandas

    items: list[dict[str, Any]] = []
    frames = []
    for result, read in results:
        if isinstance(result, BaseException):
            items.append({"error": dict(_describe(result, code), again=not _of_data(result)), "read": read})
        else:
            items.append({"rows": len(result), "read": read})
            frames.append(result)
    if not frames:
        return {"kind": "items", "items": items, "table": None}, b""
    header, payload = _encode_table(pandas.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0])
    return {"kind": "items", "items": items, "table": header}, payload


def _of_data(error: BaseException) -> bool:
    """Does it say that a model cannot take its input? Then it would say so again."""
    named = any(kind.__name__ == "MlflowException" for kind in type(error).__mro__)
    return named or isinstance(error, (ValueError, TypeError, LookupError, AssertionError))


def _plain(value: Any) -> Any:
    """A value as JSON can say it; anything unknown as its text, as Azure ML writes it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {_text(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if type(value).__module__.split(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _plain(value.tolist())
    return _text(value)


def _text(value: Any) -> str:
    """``str()`` that can be stored: names of files may hold bytes that are no text."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _describe(error: BaseException, code: str) -> dict[str, Any]:
    """An exception for people: where in the user's files it came from, and the stack from there."""
    file, line = _place(error, code)
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # its own __str__ is wrong
        message = "its message cannot be read"
    if isinstance(error, SystemExit):
        message = f"the script called sys.exit({'' if error.code is None else error.code})"
    stack = traceback.format_exception(type(error), error, _behind_host(error.__traceback__))
    return {
        "class": "" if isinstance(error, _NoRun) else _text(type(error).__name__),
        "message": _text(message + _beside("host_surroundings").instead(error)),
        "file": _text(file),
        "line": line,
        "stack": _text("".join(stack)[-20000:]).replace(f'File "{os.path.join(code, "")}', 'File "'),
    }


def _place(error: BaseException, code: str) -> tuple[str, int]:
    """File, relative to the user's code where it is in there, and line; ("", 0) where it is none of theirs."""
    users = [f for f in traceback.extract_tb(error.__traceback__) if _inside(f.filename, code)]
    file, line = (users[-1].filename, users[-1].lineno or 0) if users else ("", 0)
    if isinstance(error, SyntaxError) and os.path.isfile(error.filename or ""):
        file, line = error.filename or "", error.lineno or 0
    if isinstance(error, _NoRun):
        file, line = error.script, error.line
    return (os.path.relpath(file, code) if _inside(file, code) else file), line


def _inside(file: str, code: str) -> bool:
    return bool(code) and file.startswith(os.path.join(code, ""))


def _behind_host(trace: types.TracebackType | None) -> types.TracebackType | None:
    """The stack without the frames that call or load the script; none where it has no others."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and not file.startswith("<frozen importlib"):
            break
        trace = trace.tb_next
    return trace


def _read_exactly(source: BinaryIO, size: int) -> bytes | None:
    data = source.read(size)
    return data if len(data) == size else None


def _read_frame(source: BinaryIO) -> Any:
    head = _read_exactly(source, HEADER.size)
    if head is None:
        return None
    header_size, payload_size = HEADER.unpack(head)
    header, payload = _read_exactly(source, header_size), _read_exactly(source, payload_size)
    return None if header is None or payload is None else (json.loads(header), payload)


def _frame(request: dict[str, Any], header: dict[str, Any], payload: bytes) -> list[bytes]:
    """A reply. Raises ValueError where it is too large to be one."""
    encoded = json.dumps({**header, "number": request["number"]}).encode()
    for size, most in ((len(encoded), MOST_HEADER_BYTES), (len(payload), MOST_PAYLOAD_BYTES)):
        if size > most:
            raise ValueError(
                f"run() returned {size >> 20} MB at once, and at most {most >> 20} can be taken: "
                "make mini_batch_size smaller, or return a pandas.DataFrame"
            )
    return [HEADER.pack(len(encoded), len(payload)), encoded, payload]


if __name__ == "__main__":
    main()
