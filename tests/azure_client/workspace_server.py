"""The server for the unmodified client of Azure: HTTPS on a free port, jobs as processes of this machine, no Ray."""

import json
import os
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import uvicorn

from batch_endpoints.cli.azure_variables import azure_variables, combined_authorities
from batch_endpoints.cli.certificates import make_certificates
from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.controller.reconcile import Controller
from batch_endpoints.ingress.app import create_app
from batch_endpoints.interfaces.launcher import Launch
from batch_endpoints.records import migrate, open_store
from batch_endpoints.storage.files.addresses import local_path

TOKEN = "the-token-of-the-server"


class ProcessLauncher:
    """Drivers as processes of this machine."""

    def __init__(self):
        self._processes = {}

    def launch(self, launch_id, folder):
        if launch_id not in self._processes:
            command = [sys.executable, "-m", "batch_endpoints.engine", "--local", str(local_path(folder))]
            self._processes[launch_id] = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def look(self, launch_id):
        if (process := self._processes.get(launch_id)) is None:
            return Launch("absent")
        code = process.poll()
        return Launch("running" if code is None else "succeeded" if code == 0 else "failed")

    def stop(self, launch_id):
        if process := self._processes.get(launch_id):
            process.terminate()

    def close(self):
        for process in self._processes.values():
            process.terminate()
            process.wait()


class AzureServer:
    """What a test sees of it."""

    def __init__(self, url, home, plane, certificates):
        self.url, self.home, self.plane, self.certificates = url, home, plane, certificates

    def environment(self):
        """What the client's process has to have."""
        bundle = combined_authorities(self.certificates.authority, self.home / "bundle.pem", None)
        variables = azure_variables(self.url, TOKEN, bundle)
        return {**os.environ, **variables, "AZUREML_RUN_POLLING_INTERVAL_MIN": "1", "NO_PROXY": "127.0.0.1"}


@contextmanager
def azure_server(home: Path):
    """Serve until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    certificates = make_certificates(home / "tls", ["127.0.0.1", "localhost"], datetime.now(timezone.utc))
    database = f"sqlite:///{home / 'records.db'}"
    migrate(database)
    plane = ControlPlane(open_store(database), jobs_root=home / "jobs", uploads_root=home / "uploads")
    app = create_app(plane, server_id="the-id", token=TOKEN, key_file=home / "signing-key.pem")
    launcher = ProcessLauncher()
    controller = Controller(
        open_store(database), launcher, max_running_jobs=2, clock=lambda: datetime.now(timezone.utc)
    )
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="warning",
        ssl_certfile=certificates.certificate,
        ssl_keyfile=certificates.key,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    ready, ended = threading.Event(), threading.Event()
    startup = server.startup

    async def started(sockets=None):
        await startup(sockets)
        ready.set()

    server.startup = started
    serving = threading.Thread(target=server.run)

    def reconcile():
        while not ended.wait(0.1):
            controller.reconcile()

    reconciling = threading.Thread(target=reconcile)
    serving.start()
    reconciling.start()
    try:
        assert ready.wait(60), "the server did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield AzureServer(f"https://127.0.0.1:{port}", home, plane, certificates)
    finally:
        ended.set()
        server.should_exit = True
        reconciling.join()
        serving.join()
        launcher.close()


def trusting(server):
    """A context for HTTPS clients of this interpreter."""
    return ssl.create_default_context(cafile=str(server.certificates.authority))


def run_client(server, python, script, folder, *arguments, timeout=300):
    """Run a script under the client's own interpreter; what it prints last is JSON."""
    done = subprocess.run(
        [python, str(script), *map(str, arguments)],
        env=server.environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
