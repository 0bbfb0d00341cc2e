"""Mini-batches that sleep as long as their file says and tell when they began and ended: as a job, and in a pool,
which shows what the machine itself adds at the moment."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from harness import WORKERS, Bench, Contender, Run, WrongOutput
from server import OURS, Endpoint

POOL = "pool"
SLEEPS = """
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
_PEER = Path(__file__).with_name("peers") / "sleep_pool.py"


def contenders_that_sleep(bench: Bench, name: str, seconds: Sequence[float]) -> list[Contender]:
    """A file and a mini-batch for each of these times."""
    files = bench.place / "files"
    files.mkdir()
    names = [f"{number:05}.txt" for number in range(len(seconds))]
    for file, sleep in zip(names, seconds, strict=True):
        (files / file).write_text(f"{sleep:.6f}")
    endpoint = Endpoint(
        bench.server, bench.place, name, script=SLEEPS, mini_batch_size=1, max_concurrency_per_instance=WORKERS
    )

    def ours(place: Path) -> Run:
        found: list[dict[str, float]] = []

        def check(job: Path) -> None:
            with (job / "named-outputs/score/predictions.csv").open(newline="") as file:
                found.append(_numbers([json.loads(row["prediction"]) for row in csv.DictReader(file)], names))

        run = endpoint.run(files, check)
        return Run(run.seconds, (), {**found[0], **run.more})

    def pool(place: Path) -> Run:
        began = time.monotonic()
        done = subprocess.run([sys.executable, _PEER, files, str(WORKERS)], check=True, stdout=subprocess.PIPE)
        return Run(time.monotonic() - began, (), _numbers(json.loads(done.stdout), names))

    return [Contender(OURS, ours), Contender(POOL, pool)]


def _numbers(told: list[list[Any]], names: list[str]) -> dict[str, float]:
    """Of rows of name, begin, end and process: the time from the first begin to the last end, what lies between two
    mini-batches of one process, and how much later the last process began than the first one."""
    if [name for name, *_ in told] != names:
        raise WrongOutput(f"{len(told)} results of {len(names)}, or others")
    of_process: dict[int, list[tuple[float, float]]] = {}
    for _, began, ended, process in told:
        of_process.setdefault(process, []).append((began, ended))
    starts = [min(spans)[0] for spans in of_process.values()]
    ends = [max(end for _, end in spans) for spans in of_process.values()]
    gaps = [after[0] - before[1] for spans in of_process.values() for before, after in pairwise(sorted(spans))]
    return {
        "makespan": max(ends) - min(starts),
        "gap_ms": median(gaps) * 1000,
        "last_begins_later": max(starts) - min(starts) if len(starts) > 1 else 0.0,
    }
