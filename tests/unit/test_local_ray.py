import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys

import pytest

from batch_endpoints.cli import local_ray
from batch_endpoints.cli.steps import Steps
from batch_endpoints.engine.on_ray import scoring
from batch_endpoints.errors import ServerError

LISTENS_WITH_MANY_THREADS = """
import socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
for _ in range(50):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("up", flush=True)
time.sleep(60)
"""


def test_ray_gives_a_driver_that_is_to_end_more_time_than_it_needs_for_its_workers(tmp_path):
    given = float(local_ray._environment(str(tmp_path), tmp_path / "token")["RAY_JOB_STOP_WAIT_TIME_S"])
    assert given >= 3 * scoring._CLOSE_SECONDS


@pytest.mark.skipif(not local_ray.PROC.is_dir(), reason="this system has no /proc")
def test_a_killed_process_counts_as_ended_only_when_it_has_let_go_of_its_port():
    """Its first thread is a zombie while others still hold what it had open."""
    for port in local_ray.free_ports(5):
        command = [sys.executable, "-c", LISTENS_WITH_MANY_THREADS, str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as it:
            assert it.stdout.readline() == b"up\n"
            local_ray._kill([(it.pid, local_ray._began(it.pid))])
            socket.create_server(("127.0.0.1", port)).close()


STARTS_A_STRANGER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={}, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_what_a_process_of_ray_has_started_is_found_whatever_its_environment_and_session(tmp_path):
    folder = str(tmp_path)
    command = [sys.executable, "-c", STARTS_A_STRANGER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"RAY_TMPDIR": folder}) as it:
        child = int(it.stdout.readline())
        killed_head = local_ray.LocalRay(1 << 22, "", folder, "127.0.0.1:1", "http://127.0.0.1:2")
        found = local_ray.processes_of(killed_head)
        local_ray._kill(found)
    assert {pid for pid, _ in found} == {it.pid, child}


# stands for Ray: as many starts as there are tokens end at once
HEAD = """#!{python}
import http.server, pathlib, sys, threading
for token in pathlib.Path({tokens!r}).iterdir():
    token.unlink()
    sys.exit("too slow")
class Yes(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
for said in sys.argv:
    name, _, port = said.partition("=")
    if name in ("--dashboard-port", "--dashboard-agent-listen-port"):
        server = http.server.HTTPServer(("127.0.0.1", int(port)), Yes)
        threading.Thread(target=server.serve_forever).start()
"""


@pytest.mark.parametrize("ends", [1, 2])
def test_a_head_that_ends_by_itself_is_started_once_more(tmp_path, monkeypatch, ends):
    tokens, head = tmp_path / "tokens", tmp_path / "head"
    tokens.mkdir()
    for number in range(ends):
        (tokens / str(number)).touch()
    head.write_text(HEAD.format(python=sys.executable, tokens=str(tokens)))
    head.chmod(0o755)
    token = tmp_path / "token"
    token.write_text("secret")
    monkeypatch.setattr(sys, "executable", str(head))
    if ends == 1:
        with Steps(print) as steps:
            ray = local_ray.start_ray(tmp_path / "log", token, steps)
            assert local_ray.is_running(ray)
        assert not local_ray.is_running(ray)
    else:
        with pytest.raises(
            ServerError, match=r"Ray did not start \(exit code 1\)\nIts last words .*:\ntoo slow\ntoo slow"
        ):
            local_ray.start_ray(tmp_path / "log", token, Steps(print))
    assert list(tokens.iterdir()) == []


@contextlib.contextmanager
def signal_at(number, functions):
    """A signal comes as the line of this number, of those that these functions execute, begins; yields all lines."""
    lines, watched = [], {function.__code__ for function in functions}

    def trace(frame, event, argument):
        if event == "line" and frame.f_code in watched:
            lines.append(frame.f_lineno)
            if len(lines) == number:
                os.kill(os.getpid(), (signal.SIGINT, signal.SIGTERM)[number % 2])
        return trace if frame.f_code in watched else None

    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(None)


def test_a_start_that_is_interrupted_at_any_line_is_ended_with_its_folder(tmp_path, monkeypatch):
    head, token, started, kept = tmp_path / "head", tmp_path / "token", [], []
    head.write_text("#!/bin/sh\nexec sleep 600\n")
    head.chmod(0o755)
    token.write_text("secret")

    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__(command, **options)
            (folder,) = (one.removeprefix("--temp-dir=") for one in command if one.startswith("--temp-dir="))
            started.append((self, os.path.dirname(folder)))

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(sys, "executable", str(head))
    monkeypatch.setattr(local_ray, "_comes_up", lambda *_: True)
    functions = [local_ray.start_ray, local_ray._begin, Steps.check, Steps.waiting.__wrapped__, Steps.keep]
    for number in itertools.count(1):
        with contextlib.suppress(KeyboardInterrupt), Steps(print) as steps:
            with signal_at(number, functions) as lines:
                ray = local_ray.start_ray(tmp_path / "log", token, steps)
                steps.keep()
            local_ray.stop_ray(ray)
            kept.append(number)
        assert all(process.poll() is not None for process, _ in started), number
        assert not any(os.path.exists(folder) for _, folder in started), number
        if len(lines) < number:
            break
    assert len(started) > 10
    assert kept == [number - 1, number]  # after the last look for a signal it is kept
