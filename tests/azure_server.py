"""A server that speaks the protocol of Azure's blob storage: Azurite, Microsoft's own emulator."""

import base64
import os
import shutil
import subprocess
from contextlib import contextmanager

ACCOUNT, CONTAINER = "pond", "lake"
PLACE = f"abfss://{CONTAINER}@{ACCOUNT}.dfs.core.windows.net"
WRITES = "PUT"  # the method of requests that write a blob
COMPLETES = r"PUT .*comp=blocklist"  # a request that makes a blob of what was sent
KEY = base64.b64encode(b"no secret: the key of an account in an emulator").decode()


def program():
    """Where Azurite is; None where it is not installed."""
    return shutil.which("azurite-blob")


@contextmanager
def azure_server(program):
    """Runs Azurite in memory; yields its URL."""
    command = [program, "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry", "--silent"]
    # a shell that waits for the end of its input stops the server, so it goes even where the tests are killed
    process = subprocess.Popen(
        ["sh", "-c", '"$@" & read line; kill $!', "sh", *command, "--skipApiVersionCheck"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        text=True,
        start_new_session=True,
    )
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "successfully listens on" in line:
                yield line.split()[-1]
                return
        raise AssertionError("".join(said))
    finally:
        process.communicate()


def connection_string(url, key=KEY):
    return f"AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={url}/{ACCOUNT};"


def use_store(monkeypatch, url, *, timeout="30"):
    """Let all clients of this process and its children find the store."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string(url))
    monkeypatch.setenv("BATCH_ENDPOINTS_STORE_TIMEOUT", timeout)


def client(url):
    """A client that talks to the server itself."""
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient.from_connection_string(connection_string(url)).get_container_client(CONTAINER)
