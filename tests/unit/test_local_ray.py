import socket
import subprocess
import sys

import pytest

from batch_endpoints.cli import local_ray
from batch_endpoints.engine import ray_pool

LISTENS_WITH_MANY_THREADS = """
import socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
for _ in range(50):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("up", flush=True)
time.sleep(60)
"""


def test_ray_gives_a_driver_that_is_to_end_more_time_than_it_needs_for_its_workers(tmp_path):
    given = float(local_ray._environment(str(tmp_path))["RAY_JOB_STOP_WAIT_TIME_S"])
    assert given >= 3 * ray_pool._CLOSE_SECONDS


@pytest.mark.skipif(not local_ray.PROC.is_dir(), reason="this system has no /proc")
def test_a_killed_process_counts_as_ended_only_when_it_has_let_go_of_its_port():
    """Its first thread is a zombie while others still hold what it had open."""
    for port in local_ray.free_ports(5):
        command = [sys.executable, "-c", LISTENS_WITH_MANY_THREADS, str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as it:
            assert it.stdout.readline() == b"up\n"
            local_ray._kill([(it.pid, local_ray._began(it.pid))])
            socket.create_server(("127.0.0.1", port)).close()
