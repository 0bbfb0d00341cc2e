"""What tests of several kinds share: object stores, and a user who may not read everything."""

import os
import pwd
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import azure_server
import gcs_server
import pytest
import s3_server
from hypothesis import HealthCheck, settings
from object_stores import STORES

# how long an example takes is for other tests to say: the machine may be busy
# in CI the same examples each time, so that a change fails by itself alone; elsewhere others each time
settings.register_profile(
    "patient",
    settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("patient")


def pytest_xdist_auto_num_workers():
    """How many processes run the tests: one for each CPU, hyperthreads too; two at least, for tests wait a lot."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cpus, 2), 8)  # many of them start a Ray


@pytest.fixture(scope="session")
def s3_url():
    """URL of a running S3 server; skips where there is none to run."""
    pytest.importorskip("boto3")
    pytest.importorskip("moto")
    with s3_server.s3_server() as url:
        yield url


@pytest.fixture
def s3(s3_url, monkeypatch):
    """An empty bucket that all clients of this process find; a client to look into it."""
    s3_server.use_store(monkeypatch, s3_url)
    client = s3_server.client(s3_url)
    client.create_bucket(Bucket=s3_server.BUCKET)
    yield client
    while found := client.list_objects_v2(Bucket=s3_server.BUCKET).get("Contents"):
        client.delete_objects(Bucket=s3_server.BUCKET, Delete={"Objects": [{"Key": one["Key"]} for one in found]})
    client.delete_bucket(Bucket=s3_server.BUCKET)


@pytest.fixture(scope="session")
def azure_url():
    """URL of a running Azurite; skips where there is none to run, but not in CI, which must have one."""
    pytest.importorskip("azure.storage.blob")
    program = azure_server.program()
    if program is None:
        without = pytest.fail if os.environ.get("CI") else pytest.skip
        without("no Azurite on the path: npm install --global azurite")
    with azure_server.azure_server(program) as url:
        yield url


@pytest.fixture
def azure(azure_url, monkeypatch):
    """An empty container that all clients of this process find; a client to look into it."""
    azure_server.use_store(monkeypatch, azure_url)
    client = azure_server.client(azure_url)
    client.create_container()
    yield client
    client.delete_container()


@pytest.fixture(scope="session")
def gcs_servers():
    """A running server that speaks Google's JSON API."""
    pytest.importorskip("google.cloud.storage")
    with gcs_server.gcs_server() as server:
        yield server


@pytest.fixture(scope="session")
def gcs_url(gcs_servers):
    return f"http://127.0.0.1:{gcs_servers.server_port}"


@pytest.fixture
def gcs(gcs_servers, gcs_url, monkeypatch):
    """An empty bucket that all clients of this process find; what is in the store."""
    gcs_server.use_store(monkeypatch, gcs_url)
    gcs_servers.store.buckets[gcs_server.BUCKET] = {}
    yield gcs_servers.store
    gcs_servers.store.__init__()


@pytest.fixture(params=STORES)
def store(request):
    """A server of each kind of object store, empty."""
    request.getfixturevalue(request.param)
    return STORES[request.param]


@pytest.fixture
def open_folder():
    """A folder that every user gets into, which is not so of ``tmp_path``."""
    folder = Path(tempfile.mkdtemp(prefix="open-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def unprivileged():
    """A context in which this whole process is a user whom permissions bind: nobody, where root runs the tests."""

    @contextmanager
    def as_nobody():
        if os.geteuid():
            yield
            return
        nobody = pwd.getpwnam("nobody").pw_uid
        os.setresuid(nobody, nobody, 0)  # the saved one leads back
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return as_nobody
