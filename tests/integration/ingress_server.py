"""A real HTTP server and short ways to fill it."""

import hashlib
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import uvicorn

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.ingress.app import create_app
from batch_endpoints.records.memory import MemoryRecordStore

TOKEN = "the-token"
SCRIPT = b"def init(): pass\ndef run(files): return files\n"


class Server:
    """What a test sees: a client of the server, and the records behind it."""

    def __init__(self, url, store, folder, app):
        self.url, self.store, self.folder, self.app = url, store, folder, app
        self.http = httpx.Client(base_url=url, timeout=120, headers={"Authorization": f"Bearer {TOKEN}"})

    def upload(self, name, files):
        """Send a folder, or with the key "" a file; returns its URI."""
        rows, contents = [], {}
        for path, content in files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            contents[sha256] = content
            rows.append({"path": f"{name}/{path}" if path else name, "sha256": sha256, "size": len(content)})
        body = {"name": name, "files": rows}
        for sha256 in self.http.post("/uploads", json=body).json()["missing"]:
            assert self.http.put(f"/uploads/blobs/{sha256}", content=contents[sha256]).status_code == 201
        answer = self.http.post("/uploads", json=body).json()
        assert answer["missing"] == []
        return answer["uri"]

    def deployment(self, **more):
        """The document of a deployment with a scoring script."""
        return {
            "model": {"path": self.upload("model.bin", {"": b"weights"})},
            "code_configuration": {"code": self.upload("src", {"score.py": SCRIPT}), "scoring_script": "score.py"},
        } | more

    def endpoint(self, name):
        """An endpoint with a default deployment `v-1`; the folder of its input."""
        assert self.http.put(f"/endpoints/{name}", json={}).status_code in (200, 201)
        put = self.http.put(f"/endpoints/{name}/deployments/v-1", json=self.deployment())
        assert put.status_code in (200, 201), put.text
        self.http.patch(f"/endpoints/{name}", json={"defaults": {"deployment_name": "v-1"}}).raise_for_status()
        return name

    def data(self, name="data"):
        """A folder with one file."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "a.csv").write_text("x\n1\n")
        return folder

    def invoke(self, endpoint, headers=None, **properties):
        """POST a job over a folder with one file."""
        body = {"properties": {"inputData": {"data": {"jobInputType": "UriFolder", "uri": str(self.data())}}}}
        body["properties"] |= properties
        return self.http.post(f"/endpoints/{endpoint}/jobs", json=body, headers=headers or {})

    def job(self, endpoint, **properties):
        """The name of a new job."""
        answer = self.invoke(endpoint, **properties)
        assert answer.status_code == 201, answer.text
        return answer.json()["name"]

    def change(self, job, **values):
        return self.store.update_job(job, lambda record: record.replaced(**values))


@contextmanager
def running_server(folder, store=None, **options):
    """Serve on a free loopback port until the block ends; without a store, records are kept in memory."""
    store = store or MemoryRecordStore()
    control_plane = ControlPlane(store, jobs_root=folder / "jobs", uploads_root=folder / "uploads")
    app = create_app(control_plane, server_id="the-id", token=TOKEN, **options)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    deadline = time.monotonic() + 120
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < deadline, "the server did not start in time"
        thread.join(timeout=0.01)
    running = Server(f"http://127.0.0.1:{listening.getsockname()[1]}", store, folder, app)
    try:
        yield running
    finally:
        running.http.close()
        server.should_exit = True
        thread.join(timeout=120)
        listening.close()
        assert not thread.is_alive()
