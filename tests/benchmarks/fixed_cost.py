"""f: what Ray Data, plan and commits cost a job whose work takes one second."""

from __future__ import annotations

from harness import WORKERS, Bench, Contender, Measured, Verdict, at_most
from server import OURS
from spans import POOL, contenders_that_sleep

TITLE = "20 mini-batches that sleep 0.1 s, on 2 workers"
ROUNDS = 5
_COUNT, _SLEEP = 20, 0.1


def contenders(bench: Bench) -> list[Contender]:
    return contenders_that_sleep(bench, "sleep", [_SLEEP] * _COUNT)


def judge(measured: Measured) -> list[Verdict]:
    beyond = measured.medians[OURS]["makespan"] / (_COUNT * _SLEEP / WORKERS) - 1
    return [
        at_most("from the first mini-batch to the last, under 10 % beyond 1.0 s", beyond, 0.10, "{:.1%}"),
        Verdict("of a pool's makespan", f"{measured.ratio('makespan', OURS, POOL):.2f}", None),
    ]
