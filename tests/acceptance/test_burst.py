"""Many small jobs at once: all complete, and the server answers all the while.

``BATCH_ENDPOINTS_TEST_BURST`` sets how many; the default keeps the whole test run short.
"""

from __future__ import annotations

import os
import time

import pytest
from processes import slowdown

SCRIPT = "def run(mini_batch):\n    return [int(open(file).read()) for file in mini_batch]\n"


@pytest.mark.chaos
def test_a_burst_of_small_jobs_completes_and_the_list_stays_responsive(server, deploy, numbered_files):
    count = int(os.environ.get("BATCH_ENDPOINTS_TEST_BURST", "8"))
    endpoint = deploy("burst-one", SCRIPT)
    folder = str(numbered_files(3))
    jobs = {server.client.invoke(endpoint, input=folder).name for _ in range(count)}
    assert len(jobs) == count

    slowest, slow = 0.0, slowdown()
    deadline = time.monotonic() + 60 + 20 * count
    address = f"{server.url}/endpoints/{endpoint}/jobs?top=500"
    while True:
        began = time.monotonic()
        listed = server.http.get(address, timeout=300).json()["value"]
        slowest = max(slowest, time.monotonic() - began)
        statuses = [job["properties"]["status"] for job in listed]
        if all(status in ("Completed", "Failed", "Canceled") for status in statuses):
            break
        assert time.monotonic() < deadline, statuses
        time.sleep(0.5)
    assert statuses == ["Completed"] * count
    assert {job["properties"]["progress"]["rows"] for job in listed} == {3}
    assert slowest < 10 * max(slow, slowdown()), f"GET /jobs once took {slowest:.1f} s"
