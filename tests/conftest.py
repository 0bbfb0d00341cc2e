"""What tests of several kinds share: a store that speaks the S3 protocol, and a user who may not read everything."""

import os
import pwd
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import s3_server


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
