"""Some files cannot be scored; when the cause is gone only these are scored again, into the same output."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from processes import WORKER, kill, wait_for

from batch_endpoints.errors import Conflict
from batch_endpoints.storage.files.addresses import local_path

SCRIPT = """
import time
from pathlib import Path

def run(mini_batch):
    numbers = [int(Path(file).read_text()) for file in mini_batch]
    if numbers[0] % 3 == 1 and not Path({service!r}).exists():
        raise ConnectionError("the service of features is down")
    while numbers == [58] and not Path({gate!r}).exists():
        time.sleep(0.02)
    return numbers
"""


def test_failed_items_are_scored_again_into_the_same_output_whatever_is_killed(
    server, deploy, numbered_files, tmp_path
):
    script = SCRIPT.format(service=str(tmp_path / "service"), gate=str(tmp_path / "gate"))
    settings = {"max_concurrency_per_instance": 2, "retry_settings": {"max_retries": 0, "timeout": 600}}
    endpoint = deploy("down-service", script, mini_batch_size=1, **settings)
    job = server.client.invoke(endpoint, input=str(numbered_files(60))).wait(timeout_seconds=240)
    assert (job.progress.items_succeeded, job.progress.items_failed) == (40, 20)
    assert predictions(server, job) == [n for n in range(60) if n % 3 != 1]

    (tmp_path / "service").touch()
    server("job", "retry-failed", "-n", job.name, "--set", "error_threshold=5")
    retried = local_path(job.document["folder"]) / "retries" / "1" / "commits"
    wait_for(lambda: len(list(retried.rglob("*.json"))) >= 2, "the first commits of the retry")
    assert predictions(server, job) == [n for n in range(60) if n % 3 != 1]
    assert kill(server.pids(WORKER)[0])
    (tmp_path / "gate").touch()
    job.refresh().wait(timeout_seconds=240)

    assert job.status == "Completed", job.error
    assert predictions(server, job) == list(range(60))
    assert (job.progress.items, job.progress.items_succeeded, job.progress.items_failed) == (60, 60, 0)
    assert job.document["retries"] == 1
    assert server.http.get(f"{server.url}/jobs/{job.name}/failed-items", timeout=30).text == ""
    with pytest.raises(Conflict, match="has no failed items"):
        job.retry_failed()
    assert "has no failed items" in server.run("job", "retry-failed", "-n", job.name).stderr


def predictions(server, job):
    answer = server.http.get(f"{server.url}/jobs/{job.name}/outputs/score/predictions.csv", timeout=30)
    return list(pd.read_csv(io.BytesIO(answer.content))["prediction"])
