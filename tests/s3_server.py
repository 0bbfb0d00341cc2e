"""A server that speaks the S3 protocol."""

import os
import subprocess
import sys
from contextlib import contextmanager

BUCKET = "lake"
PLACE = f"s3://{BUCKET}"
WRITES = "PUT"  # the method of requests that write an object
COMPLETES = r"POST .*uploadId="  # a request that makes an object of what was sent
# one request at a time: moto looks whether a key exists and writes it in two steps
_SERVER = """
import sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
WSGIRequestHandler.log = lambda *arguments: None
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app))
print(server.port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()  # its end is that of whoever started this
"""


@contextmanager
def s3_server():
    """Runs moto's S3 in a process of its own; yields its URL."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def use_store(monkeypatch, url, *, timeout="30"):
    """Let all clients of this process and its children find the store."""
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "BATCH_ENDPOINTS_STORE_TIMEOUT": timeout,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)


def client(url):
    """A client that talks to the server itself."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
