"""A script that attacks the worker beside it loses the files at which it does so, and no others."""

import csv
import json
import os

import pytest
from job_folders import Job

HOSTILE = r"""
import json, os, stat, struct, time
import pyarrow as pa
MODEL = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model")

def pipes():
    for name in os.listdir("/proc/self/fd"):
        try:
            is_pipe, flags = stat.S_ISFIFO(os.fstat(int(name)).st_mode), open(f"/proc/self/fdinfo/{name}").read()
        except OSError:
            continue
        if is_pipe and int(flags.split("flags:")[1].split()[0], 8) & 3 == os.O_WRONLY:
            yield int(name)

def say(header, payload=b"", sizes=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    for fd in pipes():
        os.write(fd, struct.pack(">IQ", *(sizes or (len(header), len(payload)))) + header + payload)

def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()

def table(payload, rows):
    say({"kind": "table", "rows": rows, "number": calls + 1}, payload)  # its own: the first was init's

calls = 0
def run(mini_batch):
    global calls
    calls += 1
    (what,) = [os.path.basename(file) for file in mini_batch]
    if what == "empty": say({})
    if what == "claims": say(b"", sizes=(8, 1 << 63))
    if what == "half": say(b"{", sizes=(1 << 20, 1 << 20)); os._exit(0)
    if what == "words": [os.write(fd, b"GET / HTTP/1.1\r\n\r\n" * 100) for fd in pipes()]
    if what == "deep": say(b"[" * 100_000)
    if what == "wild":
        payload = stream(pa.table({"text": ["aaaa", "bbbb"]}))
        table(payload.replace(struct.pack("<iii", 0, 4, 8), struct.pack("<iii", 0, 1 << 30, 0x7FFFFFFF)), 2)
    if what == "nulls": table(stream(pa.table({"nothing": pa.nulls(2**31 - 1)})), 2**31 - 1)
    if what == "bomb": table(stream(pa.table({"x": ["x" * (1 << 28)]}), compression="zstd"), 1)
    if what == "early":
        for number in range(9, 0, -1):
            say({"kind": "values", "values": ["forged"], "number": number})
    if what == "closes": [os.close(fd) for fd in pipes()]
    if what == "model":
        os.chmod(MODEL, 0o755)
        with open(os.path.join(MODEL, "MLmodel"), "a") as file:
            file.write("changed")
    if what == "environ":
        with open("/proc/self/environ", "rb") as file:
            return [",".join(sorted(part.partition(b"=")[0].decode() for part in file.read().split(b"\0") if part))]
    return [what]
"""
ATTACKS = ["bomb", "claims", "closes", "deep", "early", "empty", "half", "nulls", "wild", "words"]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="the pipe is found in /proc")
def test_a_hostile_script_loses_its_own_files_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("LAKE_KEY", "of the server")
    job = Job(tmp_path, HOSTILE, files=[*ATTACKS, "environ", "good", "model", "zero"])
    model = tmp_path / "registered" / "model" / "MLmodel"
    model.write_text("as it was registered")

    state = job.run()
    rows = list(csv.reader((job.folder / "named-outputs" / "score" / "predictions.csv").read_text().splitlines()))
    failed = [json.loads(line) for line in (job.folder / "failed_items.jsonl").read_text().splitlines()]

    assert state.status == "Completed"
    assert {one["file"] for one in failed} == set(ATTACKS)
    scored = {file: value for value, file in rows[1:]}
    assert scored.keys() | {one["file"] for one in failed} == {*ATTACKS, "environ", "good", "model", "zero"}
    assert scored["good"] == "good"
    assert scored["zero"] == "zero"
    assert "LAKE_KEY" not in scored["environ"].split(",")
    assert model.read_text() == "as it was registered"
    reads = """
    import os
    def run(mini_batch):
        with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "MLmodel")) as file:
            return [file.read()]
    """
    next_one = Job(tmp_path / "next", reads, files=1, deployment={"model": job.spec["deployment"]["model"]})
    state = next_one.run()
    output = (next_one.folder / "named-outputs" / "score" / "predictions.csv").read_text()

    assert "as it was registered" in output
    assert "changed" not in output
    assert [note for note in state.notes if "the copy of 'model' on this node was changed" in note]
