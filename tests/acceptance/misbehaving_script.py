"""A scoring script that does to itself what the name of its file says: ``07-segfaults.txt``; any other file is good.

Each call leaves a line in ``$RECORDS/<name of the file>``: the process ids of its host and of what it has started.
"""

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa


def run(mini_batch):
    (path,) = map(Path, mini_batch)
    number, _, what = path.stem.partition("-")
    pids = [os.getpid()]
    if what.startswith("leaks-a-child"):
        pids.append(subprocess.Popen(["sleep", "600"], start_new_session=what.endswith("session")).pid)
    with Path(os.environ["RECORDS"], path.name).open("a") as record:
        print(*pids, file=record)
    rows = BEHAVIOURS.get(what, lambda: None)()
    if isinstance(rows, pa.Table):
        return rows.append_column("file", pa.repeat(path.name, len(rows)))
    return [float(number)] if rows is None else rows


def raises():
    raise ValueError("the picture is upside down")


def returns_a_million_rows():
    return pa.table({"prediction": pa.array(range(1_000_000), pa.float64())})


def prints_100_mb():
    for _ in range(100):
        print("x" * 999_999)


def hangs_in_python():
    while True:
        pass


def hangs_in_c():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(600)  # holds the lock of the interpreter, too


def is_busy_in_c():
    re.match("(a+)+$", "a" * 60 + "b")  # never lets go of the lock


def segfaults():
    ctypes.string_at(0)


def allocates_until_refused():
    """Its own limit stands for the machine's, which other programs need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (256 << 20), hard))
    try:
        blocks = []
        while True:
            blocks.append(bytearray(16 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def allocates_until_killed():
    """Its own signal stands for the system's, which kills in the same way and might take others first."""
    blocks = []
    while len(blocks) < 16:
        blocks.append(b"x" * (16 << 20))
    os.kill(os.getpid(), signal.SIGKILL)


def leaks_threads():
    for _ in range(50):
        threading.Thread(target=time.sleep, args=(600,)).start()


def writes_to_descriptor_1():
    for _ in range(1000):
        os.write(1, b"\0\0\0\x02\0\0\0\0\0\0\0\0{}")  # looks like a reply of the host


def closes_stdin():
    sys.stdin.close()
    os.close(0)


BEHAVIOURS = {
    "raises": raises,
    "returns-too-few-rows": list,
    "returns-too-many-rows": lambda: [0.25, 0.5, 0.75],
    "returns-the-wrong-type": lambda: 42,
    "returns-nan": lambda: [float("nan")],
    "returns-a-million-rows": returns_a_million_rows,
    "prints-100-MB": prints_100_mb,
    "hangs-in-python": hangs_in_python,
    "hangs-in-C": hangs_in_c,
    "is-busy-in-C": is_busy_in_c,
    "exits": lambda: os._exit(3),
    "segfaults": segfaults,
    "allocates-until-refused": allocates_until_refused,
    "allocates-until-killed": allocates_until_killed,
    "leaks-threads": leaks_threads,
    "writes-to-descriptor-1": writes_to_descriptor_1,
    "changes-directory": lambda: os.chdir("/"),
    "closes-stdin": closes_stdin,
}
