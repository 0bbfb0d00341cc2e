"""f: what Ray Data, plan and commits cost a job whose work takes one second."""

from __future__ import annotations

from pathlib import Path

from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, at_most
from server import OURS, Endpoint
from spans import SCRIPT, makespan, write_sleeps

TITLE = "20 mini-batches that sleep 0.1 s, on 2 workers"
ROUNDS = 5
_COUNT, _SLEEP = 20, 0.1


def contenders(bench: Bench) -> list[Contender]:
    files = write_sleeps(bench.place / "files", [_SLEEP] * _COUNT)
    endpoint = Endpoint(
        bench.server, bench.place, "sleep", script=SCRIPT, mini_batch_size=1, max_concurrency_per_instance=WORKERS
    )

    def ours(place: Path) -> Run:
        return makespan(endpoint, files, _COUNT)

    return [Contender(OURS, ours)]


def judge(measured: Measured) -> list[Verdict]:
    beyond = measured.medians[OURS]["makespan"] / (_COUNT * _SLEEP / WORKERS) - 1
    return [at_most("from the first mini-batch to the last, under 10 % beyond 1.0 s", beyond, 0.10, "{:.1%}")]
