"""One command takes a newcomer from nothing to predictions, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from processes import command_of, wait_for

pytestmark = pytest.mark.walk


def session_of(shell):
    """Processes that belong to this home's Ray: its folder is in their command line or environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                if f"BATCH_ENDPOINTS_HOME={shell.home}\0".encode() in environment.read():
                    found.append(int(pid))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def test_quickstart_shows_predictions_and_leaves_no_process(shell):
    done = shell.run("quickstart", "--files", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in (
        "Completed: 6 of 6 items scored, 0 failed, 380 rows",
        "The first 8 of 380 predictions",
        "tumors-000.csv",
        "named-outputs/score",
        "Try next:",
    ):
        assert expected in done.stdout
    assert session_of(shell) == []
    assert "Nothing is up" in shell.run("status").stderr


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_an_interrupted_quickstart_leaves_no_process(shell, sign):
    lines = []
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "batch_endpoints.cli", "quickstart", "--files", "6"],
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            lines.append(line)
            if "Starting the server" in line:  # Ray is up by now
                process.send_signal(sign)
    assert process.returncode == 130, lines
    assert "interrupted; what was started has been ended" in "".join(lines)
    wait_for(lambda: not session_of(shell), "the end of all that was started")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_an_up_that_is_interrupted_before_its_ray_is_up_leaves_no_process(shell, sign):
    with subprocess.Popen(
        shell.command("up"), env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        wait_for(lambda: any("scripts start --head" in command_of(pid) for pid in session_of(shell)), "Ray's head")
        process.send_signal(sign)
        shown = process.communicate()[0]
    assert process.returncode == 130, shown
    assert "interrupted; what was started has been ended" in shown
    wait_for(lambda: not session_of(shell), "the end of all that was started")
    assert not (shell.home / "server.json").exists()


TERMINATED_AS_RAY_HAS_COME_UP = """
import os, signal, sys
from batch_endpoints.cli import main
set_handler = signal.signal
def terminated_before(number, handler):
    if number == signal.SIGTERM and sys._getframe(1).f_globals["__name__"] == "batch_endpoints.ingress.serve":
        print("terminated now", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
    return set_handler(number, handler)
signal.signal = terminated_before
main(["quickstart", "--files", "2"])
"""


def test_a_quickstart_that_is_terminated_while_ray_has_its_own_handler_ends_in_order(shell):
    """Ray's failure handler would print a stack and end the process at once, with all that it had started left."""
    done = subprocess.run(
        [sys.executable, "-c", TERMINATED_AS_RAY_HAS_COME_UP],
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "terminated now" in done.stdout
    assert (done.returncode, "SIGTERM received" in done.stderr) == (130, False), done.stderr
    assert "interrupted; what was started has been ended" in done.stderr
    wait_for(lambda: not session_of(shell), "the end of all that was started")
