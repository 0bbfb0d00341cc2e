"""j: jobs that run at once, each of them as fast as alone."""

from __future__ import annotations

import csv
import json
import time
from itertools import chain
from pathlib import Path

from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, WrongOutput, at_least, at_most
from server import Endpoint
from spans import SLEEPS

TITLE = "eight jobs at once, each of mini-batches that sleep 0.5 s on 2 workers with 0.1 CPUs"
ROUNDS = 3
_JOBS, _COUNT, _SLEEP = 8, 40, 0.5
ALONE, TOGETHER = "alone", "together"


def contenders(bench: Bench) -> list[Contender]:
    files = bench.place / "files"
    files.mkdir()
    for number in range(count := bench.size(_COUNT, 8)):
        (files / f"{number:05}.txt").write_text(str(_SLEEP))
    endpoint = Endpoint(
        bench.server, bench.place, "beside", script=SLEEPS, mini_batch_size=1, max_concurrency_per_instance=WORKERS
    )

    def together(jobs: int) -> Run:
        began = time.monotonic()
        asked = [endpoint.invoke(files, resource_properties={"num_cpus": 0.1}) for _ in range(jobs)]
        spans = []
        for job in asked:
            if job.wait(timeout_seconds=1000).status != "Completed":
                raise WrongOutput(f"our job is {job.status}: {job.headline}")
            output = Path(job.document["folder"].removeprefix("file://")) / "named-outputs/score/predictions.csv"
            with output.open(newline="") as file:
                spans.append([json.loads(row["prediction"]) for row in csv.DictReader(file)])
        if any(len(rows) != count for rows in spans):
            raise WrongOutput("a job has lost rows")
        return Run(time.monotonic() - began, (), _numbers([[row[1:3] for row in rows] for rows in spans]))

    return [Contender(ALONE, lambda place: together(1)), Contender(TOGETHER, lambda place: together(_JOBS))]


def _numbers(jobs: list[list[tuple[float, float]]]) -> dict[str, float]:
    """Of each job's mini-batches, as begin and end: the longest time from a job's first to its last, the least
    parallelism of a job meanwhile, and how many ran at once."""
    took = [max(end for _, end in rows) - min(begin for begin, _ in rows) for rows in jobs]
    busy = [sum(end - begin for begin, end in rows) for rows in jobs]
    edges = sorted(chain.from_iterable(((begin, 1), (end, -1)) for rows in jobs for begin, end in rows))
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return {
        "longest": max(took),
        "parallelism": min(one / seconds for one, seconds in zip(busy, took, strict=True)),
        "most_at_once": most,
    }


def judge(measured: Measured) -> list[Verdict]:
    return [
        at_most("no job over 1.25 × one alone", measured.ratio("longest", TOGETHER, ALONE), 1.25),
        at_least("each keeps its 2 workers busy", measured.medians[TOGETHER]["parallelism"], 1.6),
    ]
