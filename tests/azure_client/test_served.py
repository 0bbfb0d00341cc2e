"""The way a person goes: `azure up`, `azure env`, a notebook, `down`."""

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent / "notebooks" / "script_deployment.py"


@pytest.fixture
def shell(client_python, tmp_path_factory):
    """Runs commands with a home of their own; what is up at the end is ended."""
    home = tmp_path_factory.mktemp("home")
    programs = Path(sys.executable).parent
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BATCH_ENDPOINTS_", "RAY_"))}
    environment = {**kept, "BATCH_ENDPOINTS_HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(command, cwd):
        done = subprocess.run(["bash", "-c", command], env=environment, cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout

    yield run
    run("batch-endpoints down", home)


def test_a_notebook_runs_on_a_server_that_was_started_for_it(shell, client_python, project):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert json.loads(shell(f"batch-endpoints azure up --port {port}", project))["url"] == f"https://127.0.0.1:{port}"
    client = shlex.quote(str(client_python))
    notebook = f'eval "$(batch-endpoints azure env)" && batch-endpoints azure check && {client} {NOTEBOOK}'
    found = json.loads(shell(notebook, project).strip().splitlines()[-1])
    assert found["by_value"] == ["a.csv 1", "b.csv 2", "c.csv 3"]
    assert found["status"] == "Completed"
    assert found["downloaded"] == ["empty.txt", "weights.txt"]
