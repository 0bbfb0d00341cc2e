"""One job whose script does, on chosen files, what code can do to a process; the good files between suffer nothing.

What it does is in ``misbehaving_script.py``, which says as well what stands for the end of the machine's memory.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from processes import runs, slowdown, wait_for
from servers import deploy_script

from batch_endpoints.storage.files.addresses import local_path

TRIES = 2
TIMEOUT = 4  # seconds for a file, on an idle machine: all that comes to its end needs about one
TOO_LATE = r"run\(\) did not end within TIMEOUT seconds, so its process was killed"


class Fails(NamedTuple):
    """A file that is a failed item after some tries.

    Args:
        reason: pattern of the whole reason.
        tries: one where another try would only return the same again.
    """

    reason: str
    tries: int = TRIES


class Scored(NamedTuple):
    """A file that is tried once.

    Args:
        rows: its predictions; None is its number alone.
    """

    rows: list[float] | None = None


TABLE = {
    "raises": Fails(r"score\.py:\d+: ValueError: the picture is upside down"),
    "returns-too-few-rows": Fails(r"run\(\) returned no rows for 1 file\. Return one row per file, or .*", tries=1),
    "returns-too-many-rows": Scored([0.25, 0.5, 0.75]),
    "returns-the-wrong-type": Fails(
        r"TypeError: run\(\) returned an int; it must return a list, a tuple or a pandas\.DataFrame", tries=1
    ),
    "returns-nan": Scored([float("nan")]),
    "returns-a-million-rows": Scored(list(map(float, range(1_000_000)))),
    "prints-100-MB": Scored(),
    "hangs-in-python": Fails(TOO_LATE),
    "hangs-in-C": Fails(TOO_LATE),
    "is-busy-in-C": Fails(TOO_LATE),
    "exits": Fails("the scoring process ended itself with exit code 3"),
    "segfaults": Fails("the scoring process was killed by SIGSEGV; a crash in compiled code"),
    "allocates-until-refused": Fails(r"score\.py:\d+: MemoryError"),
    "allocates-until-killed": Fails("the scoring process was killed by SIGKILL; because memory ran out, .*"),
    "leaks-threads": Scored(),
    "leaks-a-child": Scored(),
    "leaks-a-child-with-a-session": Scored(),
    "writes-to-descriptor-1": Scored(),
    "changes-directory": Scored(),
    "closes-stdin": Scored(),
}
FILES = {f"{2 * number:02}-{what}.txt": expected for number, (what, expected) in enumerate(TABLE.items())}
GOOD = {f"{2 * number + 1:02}-good.txt": Scored() for number in range(len(TABLE))}
ALL = dict(sorted((FILES | GOOD).items()))


class Told(NamedTuple):
    """What a client is told of the job, and what the script has recorded.

    Args:
        timeout: seconds that each file was given.
        rows: predictions by file.
        failed: failed items by file.
        calls: by file, of each call of ``run()`` the processes that it was made in and has started.
    """

    job: object
    timeout: int
    rows: dict[str, list[float]]
    failed: dict[str, dict]
    calls: dict[str, list[list[int]]]


@pytest.fixture(scope="module")
def told(server, tmp_path_factory):
    place = tmp_path_factory.mktemp("misbehaving")
    records, data = place / "records", place / "data"
    records.mkdir()
    data.mkdir()
    for name in ALL:
        (data / name).touch()
    timeout = math.ceil(TIMEOUT * slowdown())
    endpoint = deploy_script(
        server,
        place,
        "misbehaving",
        Path(__file__).with_name("misbehaving_script.py").read_text(),
        mini_batch_size=1,
        max_concurrency_per_instance=2,
        error_threshold=-1,
        retry_settings={"timeout": timeout, "max_retries": TRIES - 1},
        environment_variables={"RECORDS": str(records)},
    )
    job = server.client.invoke(endpoint, input=str(data)).wait(timeout_seconds=600)
    failed = server.http.get(f"{server.url}/jobs/{job.name}/failed-items", timeout=30).text.splitlines()
    found = job.outputs["score"].to_pandas()
    return Told(
        job,
        timeout,
        {file: list(rows) for file, rows in found.groupby("file")["prediction"]},
        {item["file"]: item for item in map(json.loads, failed)},
        {
            file.name: [list(map(int, line.split())) for line in file.read_text().splitlines()]
            for file in records.iterdir()
        },
    )


@pytest.mark.parametrize(("file", "expected"), ALL.items(), ids=[name.removesuffix(".txt") for name in ALL])
def test_a_file_costs_its_own_mini_batch_at_most_and_says_why(told, file, expected):
    if isinstance(expected, Fails):
        item = told.failed[file]
        reason = expected.reason.replace("TIMEOUT", str(told.timeout))
        assert pd.Series([item["reason"]]).str.fullmatch(reason)[0], item["reason"]
        assert item["attempts"] == len(told.calls[file]) == expected.tries
        assert file not in told.rows
    else:
        assert file not in told.failed
        assert len(told.calls[file]) == 1
        own = [float(file.partition("-")[0])] if expected.rows is None else expected.rows
        assert pd.Series(told.rows[file]).equals(pd.Series(own))


def test_the_accounts_add_up(told):
    failed = sum(isinstance(expected, Fails) for expected in ALL.values())
    rows = sum(len(expected.rows or [0]) for expected in ALL.values() if isinstance(expected, Scored))
    report = told.job.report()

    assert report["status"] == "Completed"
    assert report["items"] == {
        "given": len(ALL),
        "succeeded": len(ALL) - failed,
        "failed": failed,
        "skipped": 0,
        "not_scored": 0,
    }
    assert report["rows"]["written"] == rows
    assert report["attempts"] == sum(getattr(expected, "tries", 1) for expected in ALL.values())
    assert told.job.document["launches"] == 1


def test_no_process_is_left(server, told):
    pids = {pid for calls in told.calls.values() for call in calls for pid in call}
    assert len(pids) > 2

    wait_for(lambda: not server.pids("scoring/host.py"), "the end of the hosts")
    assert [pid for pid in sorted(pids) if runs(pid)] == []


def test_the_log_has_all_that_was_printed_and_tells_each_failed_try(server, told):
    logs = (local_path(told.job.document["folder"]) / "logs").glob("worker-*.log")
    assert sum(log.stat().st_size for log in logs) > 100_000_000

    trouble = told.job.logs(errors=True)
    for file, expected in FILES.items():
        assert trouble.count(f" failed for {file}: ") == getattr(expected, "tries", 0)
