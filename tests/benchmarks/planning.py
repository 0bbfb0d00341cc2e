"""i: planning a million files, and taking up a job of which nearly all is committed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, WrongOutput, at_most, seconds_of

from batch_endpoints.planning.job_plan import plan_job
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import ScoringJob
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.commits import Commit, CommitLog
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs.rows import write_parts

TITLE = "planning many files; resuming a job of many commits"
ROUNDS = 3
PLAN, RESUME = "plan", "resume"
_BEHIND_THE_START = ("running", "first_mini_batch", "scoring", "finalizing")  # a report's stages
_PLANNER = """
import json, random, sys, time
from batch_endpoints.planning.job_plan import plan_job
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder

count, uri = int(sys.argv[1]), sys.argv[2]
files = [InputFile(f"year={n % 10}/part-{n:07}.parquet", n) for n in range(count)]
random.Random(1).shuffle(files)
began = time.monotonic()
plan = JobFolder(writable_place(uri), uri).write_plan(plan_job("/data", files, 10, 2))
planned = time.monotonic() - began
found = JobFolder(writable_place(uri), uri).plan()
# not getrusage's, which has in it what the process that started this one held
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({
    "items": found.items,
    "plan": planned,
    "read_again": time.monotonic() - began - planned,
    "peak_mb": int(peak.split()[1]) / 1024,
}))
"""
_ECHO = "def run(mini_batch):\n    return [1 for _ in mini_batch]\n"


def contenders(bench: Bench) -> list[Contender]:
    files, committed = bench.size(1_000_000, 50_000), bench.size(100_000, 2_000)

    def plan(place: Path) -> Run:
        done = subprocess.run(
            [sys.executable, "-c", _PLANNER, str(files), place.as_uri()], check=True, stdout=subprocess.PIPE
        )
        told = json.loads(done.stdout)
        if told.pop("items") != files:
            raise WrongOutput("the plan has lost files")
        return Run(told.pop("plan"), (), told)

    def resume(place: Path) -> Run:
        folder = place / "job"
        write_committed_job(place, folder, committed)
        command = [sys.executable, "-m", "batch_endpoints.engine", "--local", str(folder)]
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        seconds = seconds_of(partial(subprocess.run, command, check=True, env=environment, stdout=subprocess.DEVNULL))
        report = json.loads((folder / "report.json").read_text())
        if report["progress"]["rows"] != committed + 1:
            raise WrongOutput(f"{report['progress']['rows']} rows of {committed + 1}")
        spent = report["seconds"]
        later = sum(spent.get(stage, 0.0) for stage in _BEHIND_THE_START)
        return Run(seconds, (), {"until_running": seconds - later, **_stages(spent)})

    return [Contender(PLAN, plan), Contender(RESUME, resume)]


def judge(measured: Measured) -> list[Verdict]:
    plan, resume = measured.medians[PLAN], measured.medians[RESUME]
    return [
        at_most("planning under 60 s", plan["seconds"], 60, "{:.1f} s"),
        at_most("with the listing in memory, under 1 GB", plan["peak_mb"], 1024, "{:,.0f} MB"),
        at_most("resumed in under 10 s, counted until the workers begin", resume["until_running"], 10, "{:.1f} s"),
    ]


def _stages(seconds: dict[str, float]) -> dict[str, float]:
    return {f"s_{name}": value for name, value in seconds.items()}


def write_committed_job(place: Path, folder: Path, committed: int) -> None:
    """A job that was interrupted before its last mini-batch; each of the others has a record and a part of its own,
    which is the most that a job can have."""
    code, input = place / "code", place / "in"
    code.mkdir()
    (code / "score.py").write_text(_ECHO)
    (place / "registered" / "model").mkdir(parents=True)
    input.mkdir()
    (input / f"{committed:07}").write_text("left")
    uri = folder.as_uri()
    files = writable_place(uri)
    job_folder = JobFolder(files, uri)
    document = {
        "name": "resumed",
        "deployment": {
            "name": "echo",
            "model": {"name": "m", "version": "1", "path": (place / "registered" / "model").as_uri()},
            "code_configuration": {"code": code.as_uri(), "scoring_script": "score.py"},
            "settings": {"mini_batch_size": 1},
        },
        "inputs": {"data": {"type": "uri_folder", "path": input.as_uri()}},
    }
    job_folder.write_job(ScoringJob.model_validate(document))
    plan = plan_job(str(input), [InputFile(f"{number:07}") for number in range(committed + 1)], 1, WORKERS)
    job_folder.write_plan(plan)
    log = CommitLog(files)
    for bundle in plan.bundles:
        for at, (file,) in enumerate(bundle.mini_batches, bundle.start):
            if at < committed:
                rows = pa.table({"prediction": [1], "file": [file]})
                parts = write_parts(files, bundle.index, at, [rows])
                log.add(Commit(bundle=bundle.index, start=at, end=at + 1, parts=parts, rows=1, items_succeeded=1))
