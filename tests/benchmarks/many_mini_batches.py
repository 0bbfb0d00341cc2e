"""d: what a mini-batch costs beside the work: a script that does nothing, called for one file at a time."""

from __future__ import annotations

import csv
import subprocess
import sys
from functools import partial
from pathlib import Path

from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, WrongOutput, at_most, seconds_of
from server import OURS, Endpoint

TITLE = "mini-batches of a no-op script"
ROUNDS = 3
POOL = "no-op pool"
SCRIPT = "def run(mini_batch):\n    return [1 for _ in mini_batch]\n"
_PEER = Path(__file__).with_name("peers") / "no_op_pool.py"


def contenders(bench: Bench) -> list[Contender]:
    count = bench.size(100_000, 2_000)
    files = bench.place / "files"
    files.mkdir()
    for number in range(count):
        (files / f"{number:06}").touch()
    endpoint = Endpoint(
        bench.server, bench.place, "no-op", script=SCRIPT, mini_batch_size=1, max_concurrency_per_instance=WORKERS
    )

    def ours(place: Path) -> Run:
        run = endpoint.run(files, lambda job: _check(job / "named-outputs/score/predictions.csv", count))
        return _each(run, count)

    def pool(place: Path) -> Run:
        output = place / "predictions.csv"
        command = [sys.executable, _PEER, files, output, str(WORKERS)]
        seconds = seconds_of(partial(subprocess.run, command, check=True))
        _check(output, count)
        return _each(Run(seconds), count)

    return [Contender(OURS, ours), Contender(POOL, pool)]


def judge(measured: Measured) -> list[Verdict]:
    ours, pool = measured.medians[OURS], measured.medians[POOL]
    # what a job needs before its first mini-batch belongs to workload e
    running = 1000 / ours["per_second"] if "per_second" in ours else None
    beyond = None if running is None else running - pool["ms_each"]
    return [
        at_most("once running, under 0.3 ms a mini-batch beyond the pool", beyond, 0.3, "{:.3f} ms"),
        at_most("the same of the total time", ours["ms_each"] - pool["ms_each"], 0.3, "{:.3f} ms"),
    ]


def _each(run: Run, count: int) -> Run:
    return Run(run.seconds, run.marks, {"ms_each": run.seconds / count * 1000, **run.more})


def _check(output: Path, count: int) -> None:
    with output.open(newline="") as file:
        found = [(row["prediction"], row["file"]) for row in csv.DictReader(file)]
    if found != [("1", f"{number:06}") for number in range(count)]:
        raise WrongOutput(f"{output} has {len(found)} rows of {count}, or others")
