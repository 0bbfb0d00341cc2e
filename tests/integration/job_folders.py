"""Job folders with real scripts and files, run without a cluster, for tests."""

import csv
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.specs import ScoringJob
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder

ECHO = """
import os
def run(mini_batch):
    return [os.path.basename(file) for file in mini_batch]
"""


class Job:
    """One job with its inputs, code and model below a folder."""

    def __init__(self, place: Path, script=ECHO, files=10, *, deployment=None, **job):
        self.place, self.input, self.code, self.folder = place, place / "in", place / "code", place / "job"
        for folder in (self.input, self.code, place / "registered" / "model", self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        names = [f"{n:03}.txt" for n in range(files)] if isinstance(files, int) else files
        for name in names:
            (self.input / name).parent.mkdir(parents=True, exist_ok=True)
            (self.input / name).write_text(name)
        (self.code / "score.py").write_text(textwrap.dedent(script))
        settings = {"mini_batch_size": 1, "retry_settings": {"max_retries": 0}, **job.pop("settings", {})}
        self.spec = {
            "name": "job",
            "deployment": {
                "name": "echo",
                "model": {"name": "m", "version": "1", "path": (place / "registered" / "model").as_uri()},
                "code_configuration": {"code": self.code.as_uri(), "scoring_script": "score.py"},
                "settings": settings,
                **(deployment or {}),
            },
            "inputs": {"data": {"type": "uri_folder", "path": self.input.as_uri()}},
            **job,
        }
        self.job_folder = JobFolder(writable_place(self.folder.as_uri()), self.folder.as_uri())
        self.job_folder.write_job(ScoringJob.model_validate(self.spec))

    def run(self, make_runner=LocalRunner):
        return run_job(self.job_folder, make_runner)

    def start(self):
        """The engine in a process of its own."""
        (self.place / "tmp").mkdir(exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        environment["TMPDIR"] = str(self.place / "tmp")
        return subprocess.Popen(
            [sys.executable, "-m", "batch_endpoints.engine", str(self.folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def output(self):
        return self.folder / "named-outputs" / "score"

    def rows(self, name="predictions.csv"):
        """The rows of the CSV output."""
        with (self.output / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def failed_items(self):
        path = self.folder / "failed_items.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def report(self):
        return json.loads((self.folder / "report.json").read_text())

    def progress(self):
        """The counts a client sees now; None before there are any."""
        try:
            return json.loads((self.folder / "progress.json").read_text())["progress"]
        except FileNotFoundError:
            return None

    def commits(self):
        return sorted(path for path in self.folder.glob("commits/*/*.json"))

    @contextmanager
    def started_until(self, call):
        """The engine in a process of its own that has noted this call; ended behind the block."""
        process = self.start()
        try:
            wait_until(lambda: call in self.calls(), what=call)
            yield process
        finally:
            process.kill()
            process.communicate()

    def calls(self):
        """What scripts noted with ``NOTE``."""
        path = self.place / "calls"
        return path.read_text().split() if path.exists() else []


def noting(place: Path) -> str:
    """A line for scripts: a function ``note(text)`` whose words ``Job.calls`` reads back."""
    return f"note = lambda text: open({str(place / 'calls')!r}, 'a').write(text + ' ')"


def wait_until(claim, seconds=120.0, what="it"):
    until = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < until, f"{what} did not come within {seconds} seconds"
        threading.Event().wait(0.02)
