"""The host process: loads the user's script and calls ``init()`` and ``run()``.

It runs under the deployment's own interpreter, which may be another Python version without any of our packages:
only the standard library is imported (pyarrow when a table has to cross), and the syntax is Python 3.8's.

Started as ``python host.py <read fd> <write fd>``. A frame is two big-endian integers (4 bytes: length of the header,
8 bytes: length of the payload), a JSON header and a payload. Requests and replies alternate:

    {"op": "init", "script", "code", "log_level"}  -> {"ok": true} | {"error": {...}}
    {"op": "run", "paths": [...]}                  -> {"kind": "values", "values": [...]}
                                                    | {"kind": "table", "rows": n} and an Arrow IPC stream
                                                    | {"kind": "split", ...}, a table as JSON, without pyarrow
                                                    | {"kind": "items", "items": [{"rows"} | {"error"}], "table"}
                                                    | {"error": {...}}
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import logging
import os
import signal
import struct
import sys
import threading
import time
import traceback
import types
from typing import Any, BinaryIO

HEADER = struct.Struct(">IQ")
DRIVER_FOLDER = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    reader, writer = int(sys.argv[1]), int(sys.argv[2])
    for fd in (reader, writer):
        os.set_inheritable(fd, False)  # the user's child processes must not keep the pipes open
    _end_with_parent()
    source, sink = os.fdopen(reader, "rb", closefd=False), os.fdopen(writer, "wb", closefd=False)
    state: dict[str, Any] = {}
    while True:
        request = _read_frame(source)
        if request is None:
            return
        try:
            header, payload = _answer(request, state)
        except (Exception, SystemExit) as error:  # the user's init() or run()
            header, payload = {"error": _describe(error, state.get("code", ""))}, b""
        sys.stdout.flush()
        sys.stderr.flush()
        _write_frame(sink, header, payload)


def _answer(request: dict[str, Any], state: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    if request["op"] == "init":
        state["code"] = request["code"]
        state["module"] = _load(request)
        init = getattr(state["module"], "init", None)
        if init is not None:
            init()
        return {"ok": True}, b""
    module = state["module"]
    if hasattr(module, "run_items"):
        return _items(module.run_items(request["paths"]), state["code"])
    return _encode(module.run(list(request["paths"])))


def _load(request: dict[str, Any]) -> Any:
    script, code = request["script"], request["code"]
    sys.argv = [script]
    sys.path[:] = [code] + [p for p in sys.path if os.path.abspath(p or ".") != DRIVER_FOLDER]
    logging.getLogger().setLevel(request["log_level"].upper())
    _offer_entry_script(request["log_level"])
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


def _encode(result: Any) -> tuple[dict[str, Any], bytes]:
    """What run() returned -> a reply."""
    if hasattr(result, "columns") and hasattr(result, "to_dict"):  # a pandas DataFrame
        return _encode_table(result)
    if type(result).__module__.split(".")[0] in ("numpy", "pandas") and hasattr(result, "tolist"):
        result = result.tolist()
        result = result if isinstance(result, list) else [result]
    if not isinstance(result, (list, tuple)):
        found = _article(type(result).__name__)
        raise TypeError(f"run() returned {found}; it must return a list, a tuple or a pandas.DataFrame")
    return {"kind": "values", "values": [_plain(value) for value in result]}, b""


def _encode_table(frame: Any) -> tuple[dict[str, Any], bytes]:
    frame = frame.copy(deep=False)
    frame.columns = [str(name) for name in frame.columns]
    try:
        import pyarrow as pa
    except ImportError:
        split = json.loads(frame.to_json(orient="split", index=False, date_format="iso"))
        return {"kind": "split", "columns": split["columns"], "data": split["data"], "rows": len(frame)}, b""
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a column of mixed types: as text
        for name in [n for n in frame.columns if frame[n].dtype == object]:
            frame[name] = [None if v is None else str(v) for v in frame[name]]
        table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None))
    return {"kind": "table", "rows": len(frame)}, sink.getvalue().to_pybytes()


def _items(results: Any, code: str) -> tuple[dict[str, Any], bytes]:
    """Results by item, each a DataFrame or an exception -> a reply."""
    import pandas

    items: list[dict[str, Any]] = []
    frames = []
    for result in results:
        if isinstance(result, BaseException):
            items.append({"error": dict(_describe(result, code), again=isinstance(result, (OSError, MemoryError)))})
        else:
            items.append({"rows": len(result)})
            frames.append(result)
    if not frames:
        return {"kind": "items", "items": items, "table": None}, b""
    header, payload = _encode_table(pandas.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0])
    return {"kind": "items", "items": items, "table": header}, payload


def _plain(value: Any) -> Any:
    """A value as JSON can say it; anything unknown as its text, as Azure ML writes it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if type(value).__module__.split(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _plain(value.tolist())
    return str(value)


def _describe(error: BaseException, code: str) -> dict[str, Any]:
    """An exception for people: where in the user's files it came from, and the stack from there."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [f for f in frames if code and os.path.abspath(f.filename).startswith(os.path.join(code, ""))]
    file, line = (users[-1].filename, users[-1].lineno or 0) if users else ("", 0)
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno or 0
    if isinstance(error, _NoRun):
        file, line = error.script, error.line
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    if isinstance(error, SystemExit):
        message = f"the script called sys.exit({'' if error.code is None else error.code})"
    stack = traceback.format_exception(type(error), error, _behind_host(error.__traceback__))
    return {
        "class": type(error).__name__.lstrip("_"),
        "message": message,
        "file": os.path.relpath(file, code) if file else "",
        "line": line,
        "stack": "".join(stack)[-20000:],
    }


def _behind_host(trace: types.TracebackType | None) -> types.TracebackType | None:
    """The stack without this file's own frames."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__ and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def _offer_entry_script(level: str) -> None:
    """``from azureml_user.parallel_run import EntryScript``, which Azure ML's scripts may import."""
    if importlib.util.find_spec("azureml_user") is not None:
        return

    class EntryScript:
        """What Azure ML's parallel runs offer to a script."""

        def __init__(self) -> None:
            self.logger = logging.getLogger("entry_script")
            if not self.logger.handlers:
                self.logger.addHandler(logging.StreamHandler(sys.stdout))
                self.logger.setLevel(level.upper())
            self.output_dir = os.environ.get("AZUREML_BI_OUTPUT_PATH", "")
            self.log_dir = os.environ.get("TMPDIR", "/tmp")
            self.agent_name = f"{os.uname().nodename}-{os.getpid()}"
            self.working_dir = os.getcwd()

    package, module = types.ModuleType("azureml_user"), types.ModuleType("azureml_user.parallel_run")
    setattr(module, "EntryScript", EntryScript)
    setattr(package, "parallel_run", module)
    sys.modules["azureml_user"], sys.modules["azureml_user.parallel_run"] = package, module


def _end_with_parent() -> None:
    """Never outlive the worker, however it ends."""
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, Linux

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read_exactly(source: BinaryIO, size: int) -> bytes | None:
    data = source.read(size)
    return data if len(data) == size else None


def _read_frame(source: BinaryIO) -> Any:
    head = _read_exactly(source, HEADER.size)
    if head is None:
        return None
    header_size, payload_size = HEADER.unpack(head)
    header = _read_exactly(source, header_size)
    return None if header is None or _read_exactly(source, payload_size) is None else json.loads(header)


def _write_frame(sink: BinaryIO, header: dict[str, Any], payload: bytes) -> None:
    encoded = json.dumps(header).encode()
    sink.write(HEADER.pack(len(encoded), len(payload)))
    sink.write(encoded)
    sink.write(payload)
    sink.flush()


if __name__ == "__main__":
    main()
