"""The host process: loads the user's script and calls ``init()`` and ``run()``.

It runs under the deployment's own interpreter, which may be another Python version without any of our packages:
only the standard library is imported (pyarrow when a table has to cross), and the syntax is Python 3.8's.

Started as ``python host.py <read fd> <write fd>``. A frame is two big-endian integers (4 bytes: length of the header,
8 bytes: length of the payload), a JSON header and a payload. Requests and replies alternate; a reply has the number
of its request. The worker reads them in replies.py, which declares each field of a header:

    {"number", "op": "init", "script", "code", "log_level", "format", "default_format", "arguments", "azure_layout"}
                                                   -> {"kind": "loaded", "format": what run() gets}
                                                    | {"kind": "error", "error"}
    {"number", "op": "shutdown"}                   -> {"kind": "loaded", "format"} | {"kind": "error", "error"}
    {"number", "op": "run", "context", "groups"} and an Arrow IPC stream, where run() gets tables, otherwise
    {"number", "op": "run", "paths": [...]}        -> {"kind": "values", "values": [...]}
                                                    | {"kind": "table", "rows": n} and an Arrow IPC stream
                                                    | {"kind": "columns", "names", "data", "rows"}, without pyarrow
                                                    | {"kind": "items", "items": [{"rows"} | {"error"}], "table"}
                                                    | {"kind": "error", "error"}
    The first three, and each item, may have "positions": of each returned row the number of the file or row that it
    is of. "single": a table is a list of values. Where init asks for "azure_layout", the first three have "text"
    besides. Each item has "read": rows of its file.
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
    _beside("family", "processes").leave_nothing_behind(reader, (writer,))
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
            getattr(state["module"], "run", None), request.get("default_format", "files")
        )
        if state["format"] != "files":
            state["tables"].check_tables(state["format"])
        state["context"] = _beside("host_context").asked_for(getattr(state["module"], "run", None))
        init = getattr(state["module"], "init", None)
        if init is not None:
            init()
        return {"kind": "loaded", "format": state["format"]}, b""
    module, index = state["module"], _beside("host_index")
    if request["op"] == "shutdown":
        getattr(module, "shutdown", lambda: None)()
        return {"kind": "loaded", "format": state["format"]}, b""
    groups = request.get("groups")
    if "paths" in request:
        if hasattr(module, "run_items"):
            return _items(module.run_items(request["paths"]), state["code"])
        given = index.Given(0) if groups else index.Given(len(request["paths"]), request["paths"])
        result = module.run(list(request["paths"]), *_context(request, state))
    else:
        rows = state["tables"].table_as(state["format"], table)
        if hasattr(module, "run_table"):
            columns = functools.partial(state["tables"].columns_of_file, table)
            return _items([module.run_table(rows, columns)], state["code"])
        given = index.Given(0) if groups else state["tables"].as_given(index.Given, rows, table)
        result = module.run(rows, *_context(request, state, table))
    try:
        return _reply(result, given, state.get("layout"))
    except Exception as error:  # it would return the same again
        return {"kind": "error", "error": dict(_describe(error, state["code"]), again=False)}, b""


def _context(request: dict[str, Any], state: dict[str, Any], table: bytes = b"") -> list[Any]:
    """The second argument of run(), where it has a parameter for it."""
    if not state["context"]:
        return []
    known = request.get("context") or {}
    values = dict(known.get("partition_key_value") or {})
    if table and request.get("groups"):
        values = {**values, **state["tables"].first_values(table, request["groups"])}
    return [_beside("host_context").MiniBatchContext(known.get("minibatch_index"), values)]


def _load(request: dict[str, Any]) -> Any:
    script, code = request["script"], request["code"]
    if not os.path.isfile(script):
        raise FileNotFoundError(f"the code folder has no file '{os.path.relpath(script, code)}'")
    sys.argv = [script, *request.get("arguments", [])]
    rest = [p for p in sys.path if os.path.abspath(p or ".") != DRIVER_FOLDER]
    sys.path[:] = rest
    # a driver of ours is no neighbour of the model's own modules, which may have the names of its siblings
    folders = [
        one for one in dict.fromkeys([os.path.dirname(script), code]) if one and os.path.abspath(one) != DRIVER_FOLDER
    ]
    _beside("host_surroundings").set_up(folders, request["log_level"])
    _beside("batch_endpoints_step", "processes/for_steps").prepare_imports()
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
def _beside(name: str, package: str = "scoring") -> Any:
    """A file of our own; the package is not there to import it from."""
    file = os.path.join(os.path.dirname(DRIVER_FOLDER), package, f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"_host_{name}", file)
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


def _reply(result: Any, given: Any, layout: Any) -> tuple[dict[str, Any], bytes]:
    """What run() returned -> a reply.

    Args:
        given: what the call was given, a ``Given``.
    """
    values, index = _beside("host_values"), _beside("host_index")
    numbered = result if layout is None else layout.numbered(result)
    rows, positions = index.attributed(values, numbered, given)
    header, payload = values.encode(rows)
    if positions is not None:
        header["positions"] = positions
    return (header if layout is None else {**header, "text": layout.text(result)}), payload


def _items(results: Any, code: str) -> tuple[dict[str, Any], bytes]:
    """Predictions by item -> a reply."""
    values, index = _beside("host_values"), _beside("host_index")
    items: list[dict[str, Any]] = []
    frames = []
    for one in results:
        if one.error is not None:
            error = _describe(one.error, code)
            items.append({"error": dict(error, again=not _of_data(one.error)), "read": one.read})
            continue
        frame, positions = index.attributed(values, one.frame, one.given(index.Given))
        items.append({"rows": len(frame), "read": one.read})
        if positions is not None:
            items[-1]["positions"] = positions
        frames.append(frame)
    if not frames:
        return {"kind": "items", "items": items, "table": None}, b""
    header, payload = values.encode(values.joined(frames))
    return {"kind": "items", "items": items, "table": header}, payload


def _of_data(error: BaseException) -> bool:
    """Does it say that a model cannot take its input? Then it would say so again."""
    named = any(kind.__name__ == "MlflowException" for kind in type(error).__mro__)
    return named or isinstance(error, (ValueError, TypeError, LookupError, AssertionError))


def _text(value: Any) -> str:
    return str(_beside("host_values").text(value))


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
