"""e: the least a job takes: one small file, from the request until it is Completed."""

from __future__ import annotations

import csv
import shlex
import sys
import time
from pathlib import Path
from statistics import median, quantiles

from harness import Bench, Contender, Measured, Run, Verdict, WrongOutput
from server import OURS, Endpoint, Server

TITLE = "a tiny job of one file, from invoke to Completed"
ROUNDS, SMALL_ROUNDS = 20, 3
BY_HAND, ALONE = "script through ray job submit", "the same without Ray in it"
SCRIPT = "def run(mini_batch):\n    return [int(open(path).read()) * 2 for path in mini_batch]\n"
_PEER = Path(__file__).with_name("peers") / "tiny_job.py"
_POLL_SECONDS = 0.05


def contenders(bench: Bench) -> list[Contender]:
    files = bench.place / "files"
    files.mkdir()
    (files / "one.txt").write_text("21")
    endpoint = Endpoint(bench.server, bench.place, "tiny", script=SCRIPT)

    def ours(place: Path) -> Run:
        return endpoint.run(files, lambda job: _check(job / "named-outputs/score/predictions.csv"))

    def by_hand(place: Path, *options: str) -> Run:
        output = place / "predictions.csv"
        began = time.monotonic()
        submit_and_wait(bench.server, [sys.executable, str(_PEER), str(files), str(output), *options])
        seconds = time.monotonic() - began
        _check(output)
        return Run(seconds)

    endpoint.run(files, lambda job: None)  # the first job of a cluster starts what later ones find there
    return [
        Contender(OURS, ours),
        Contender(BY_HAND, by_hand),
        Contender(ALONE, lambda place: by_hand(place, "--alone")),
    ]


def submit_and_wait(server: Server, command: list[str]) -> None:
    """What ``ray job submit`` does, without the time that its command line takes to start."""
    from ray.job_submission import JobStatus, JobSubmissionClient

    client = JobSubmissionClient(server.dashboard, headers=server.ray_headers)
    name = client.submit_job(entrypoint=shlex.join(command))
    while not (status := client.get_job_status(name)).is_terminal():
        time.sleep(_POLL_SECONDS)
    if status != JobStatus.SUCCEEDED:
        raise WrongOutput(client.get_job_logs(name)[-2000:])


def judge(measured: Measured) -> list[Verdict]:
    seconds = {name: [row[name]["seconds"] for row in measured.rounds] for name in (OURS, BY_HAND, ALONE)}
    verdicts = []
    for word, of in (("p50", median), ("p95", _p95)):
        ours, by_hand = of(seconds[OURS]), of(seconds[BY_HAND])
        verdicts.append(
            Verdict(
                f"{word} not slower than the script",
                f"{ours:.2f} s against {by_hand:.2f} s: {ours / by_hand:.2f} of it",
                ours <= by_hand,
            )
        )
    ratio = measured.ratio("seconds", OURS, ALONE)
    verdicts.append(Verdict("of a script that knows that there is one file, and needs no Ray", f"{ratio:.2f}", None))
    return verdicts


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1]


def _check(output: Path) -> None:
    with output.open(newline="") as file:
        if list(csv.DictReader(file)) != [{"prediction": "42", "file": "one.txt"}]:
            raise WrongOutput(f"{output} holds something else")
