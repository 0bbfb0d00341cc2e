"""Mini-batches that sleep as long as their file says and return when they began and ended."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from harness import Run, WrongOutput
from server import Endpoint

SCRIPT = """
import json, os, time

def run(mini_batch):
    found = []
    for path in mini_batch:
        began = time.time()
        with open(path) as file:
            time.sleep(float(file.read()))
        found.append(json.dumps([os.path.basename(path), began, time.time(), os.getpid()]))
    return found
"""


def write_sleeps(folder: Path, seconds: Sequence[float]) -> Path:
    """A file for each mini-batch."""
    folder.mkdir()
    for number, sleep in enumerate(seconds):
        (folder / f"{number:05}.txt").write_text(f"{sleep:.6f}")
    return folder


def makespan(endpoint: Endpoint, files: Path, count: int) -> Run:
    """Score them; ``more`` has the time from the begin of the first mini-batch to the end of the last one."""
    spans: list[tuple[float, float]] = []

    def check(job: Path) -> None:
        import json

        with (job / "named-outputs/score/predictions.csv").open(newline="") as file:
            told = [json.loads(row["prediction"]) for row in csv.DictReader(file)]
        if [name for name, *_ in told] != sorted(path.name for path in files.iterdir()):
            raise WrongOutput(f"{len(told)} results of {count}, or others")
        spans.extend((began, ended) for _, began, ended, _ in told)
        first_of = {pid: min(b for _, b, _, p in told if p == pid) for *_, pid in told}
        lags.append(max(first_of.values()) - min(first_of.values()) if len(first_of) > 1 else 0.0)

    lags: list[float] = []
    run = endpoint.run(files, check)
    span = max(end for _, end in spans) - min(begin for begin, _ in spans)
    return Run(run.seconds, (), {"makespan": span, "second_worker_later": lags[0], **run.more})
