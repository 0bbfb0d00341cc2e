"""What `up` wants to be asked for, and what it warns of."""

import os
import socket

import pytest
from click.testing import CliRunner

from batch_endpoints.cli.local_server import start_server
from batch_endpoints.cli.server import up
from batch_endpoints.cli.steps import Steps
from batch_endpoints.errors import Conflict, Refused
from batch_endpoints.settings import Settings


@pytest.fixture(autouse=True)
def _umask_as_before():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "head.example.org"])
def test_listening_beyond_loopback_without_encryption_has_to_be_asked_for(tmp_path, host):
    with pytest.raises(Refused) as refused:
        start_server(Settings(tmp_path / "home"), Steps(print), host=host)
    assert str(refused.value) == (
        f"the server would listen on {host}, where others reach it: whoever reads the token from the network, which "
        "is not encrypted, runs code as the server\n"
        "Leave --host out, or say --insecure where the network itself keeps others out."
    )
    assert not (tmp_path / "home").exists()


def test_what_was_asked_for_is_warned_of(tmp_path):
    said = []
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Steps(said.append) as steps, pytest.raises(Conflict, match="cannot listen on port"):
            start_server(Settings(tmp_path), steps, host="0.0.0.0", port=port, insecure=True)
    assert said[0] == (
        "Listening on 0.0.0.0 without encryption: whoever reaches the port and has seen the token runs code as the "
        "server; the token is demanded there too"
    )


def test_the_help_of_up_says_what_insecure_means():
    shown = " ".join(CliRunner().invoke(up, ["--help"]).output.split())
    assert "Listen beyond loopback, unencrypted: whoever sees the token there runs code as the server." in shown
