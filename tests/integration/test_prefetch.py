"""Workers fetch the next mini-batch from a store while this one is scored."""

import pytest
import s3_server
from faulty_proxy import FaultyProxy
from job_folders import Job
from s3_server import BUCKET

# waits until the store was asked for the next file, which it is not before this call ends unless somebody looks ahead
WAITS = """
import os, time
from pathlib import Path
asked = Path({asked!r})
def wait(name):
    following = asked / f"{{int(name[:3]) + 1:03}}"
    until = time.monotonic() + 50
    while not following.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{{following.name}} was not fetched ahead")
        time.sleep(0.01)
"""
PATHS = """
def run(mini_batch):
    (file,) = mini_batch
    wait(os.path.basename(file))
    return [open(file).read()]
"""
TABLES = """
import pandas as pd
def run(rows: pd.DataFrame):
    wait(rows["name"][0])
    return rows["name"].tolist()
"""


@pytest.fixture
def watched(s3, s3_url, tmp_path, monkeypatch):
    """A store that leaves a mark below ``asked`` for each input file that it was asked for."""
    asked = tmp_path / "asked"
    asked.mkdir()

    def look(method, path):
        name = path.partition("?")[0].rpartition("/")[2]
        if method == "GET" and name[:3].isdecimal():
            (asked / name[:3]).touch()
        return ""

    with FaultyProxy(s3_url, look) as proxy:
        s3_server.use_store(monkeypatch, proxy.url)
        yield asked


@pytest.mark.parametrize(("script", "name"), [(PATHS, "{:03}.txt"), (TABLES, "{:03}.csv")], ids=["paths", "tables"])
def test_the_next_mini_batch_is_on_its_way_while_this_one_is_scored(s3, watched, tmp_path, script, name):
    count = 48  # more than a worker has bundles, so that some have two mini-batches and others one
    for n in range(count):
        s3.put_object(Bucket=BUCKET, Key=f"in/{name.format(n)}", Body=f"name\n{n:03}x\n".encode())
    inputs = {"data": {"type": "uri_folder", "path": f"s3://{BUCKET}/in"}}
    settings = {"retry_settings": {"max_retries": 0, "timeout": 60}, "error_threshold": 0}
    job = Job(tmp_path / "job", WAITS.format(asked=str(watched)) + script, files=0, inputs=inputs, settings=settings)
    (watched / f"{count:03}").touch()  # there is none behind the last one

    state = job.run()

    assert state.status == "Completed", state.error
    assert job.failed_items() == []
    assert len(job.rows()) == count
