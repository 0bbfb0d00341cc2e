"""Where a client finds the token, and which server is sent it."""

import pickle

import pytest

from batch_endpoints import BatchEndpointsClient
from batch_endpoints.client.connection import Connection
from batch_endpoints.client.tokens import find_token, not_authenticated
from batch_endpoints.settings import Settings

HERE = {"url": "http://127.0.0.1:8700"}


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "token").write_text("of-the-home\n")
    (tmp_path / "file").write_text("of-the-file\n")
    return Settings(tmp_path, token_file=tmp_path / "file")


@pytest.mark.parametrize(
    ("url", "here", "found"),
    [
        ("http://127.0.0.1:8700", HERE, "of-the-home"),
        ("http://localhost:8700", HERE, "of-the-home"),
        ("http://[::1]:8700", HERE, "of-the-home"),
        ("http://127.0.0.1:8700", {"url": "http://0.0.0.0:8700"}, "of-the-home"),
        ("http://127.0.0.1:8701", HERE, "of-the-file"),
        ("http://example.org:8700", HERE, "of-the-file"),
        ("http://127.0.0.1.example.org:8700", HERE, "of-the-file"),
        ("http://127.0.0.1:8700", {}, "of-the-file"),
        ("https://127.0.0.1:8700", HERE, "of-the-file"),
    ],
)
def test_the_token_of_the_home_goes_to_the_server_of_the_home_alone(settings, url, here, found):
    assert find_token(url, settings, here) == found


def test_the_environment_names_the_token_for_other_servers(tmp_path):
    (tmp_path / "file").write_text("of-the-file")
    assert find_token("http://head:8700", Settings(tmp_path), {}) == ""
    settings = Settings(tmp_path, token="in-person", token_file=tmp_path / "file")
    assert find_token("http://head:8700", settings, {}) == "in-person"
    assert find_token("http://127.0.0.1:8700", settings, HERE) == "in-person"  # the file in the home is not there
    assert "in-person" not in repr(settings)


def test_the_error_names_every_place_where_a_token_was_looked_for(tmp_path):
    settings = Settings(tmp_path, token_file=tmp_path / "file")
    assert str(not_authenticated(HERE["url"], settings, HERE, sent=False)) == (
        "the server at http://127.0.0.1:8700 wants a token\n"
        f"Looked for one in: {tmp_path}/token (no such file or directory); BATCH_ENDPOINTS_TOKEN (not set); "
        f"BATCH_ENDPOINTS_TOKEN_FILE ({tmp_path}/file: no such file or directory).\n"
        "`batch-endpoints token` prints it on the server's machine."
    )
    assert "(not used: it is for the server that `up` starts with this home)" in str(
        not_authenticated("http://head:8700", settings, HERE, sent=True)
    )


def test_a_client_that_is_sent_elsewhere_leaves_its_token_and_where_it_is_behind(tmp_path):
    settings = Settings(tmp_path, token="in-person", token_file=tmp_path / "secret-file")
    (tmp_path / "server.json").write_text('{"url": "http://127.0.0.1:8700", "id": "of-this-server"}')
    (tmp_path / "token").write_text("of-the-home")
    client = BatchEndpointsClient("http://head:8700", settings=settings)
    for one in (client, client.endpoints, client.deployments("heart")):
        sent = pickle.dumps(one)
        for kept in (b"in-person", b"secret-file", b"of-the-home", b"of-this-server"):
            assert kept not in sent


def test_a_client_that_arrives_takes_the_token_that_is_there(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("of-the-file")
    sent = pickle.dumps(Connection("http://head:8700", settings=Settings(tmp_path / "home", token="in-person")))
    monkeypatch.delenv("BATCH_ENDPOINTS_TOKEN", raising=False)
    monkeypatch.delenv("BATCH_ENDPOINTS_TOKEN_FILE", raising=False)
    assert pickle.loads(sent).token == ""
    monkeypatch.setenv("BATCH_ENDPOINTS_TOKEN_FILE", str(tmp_path / "file"))
    assert pickle.loads(sent).token == "of-the-file"
    monkeypatch.setenv("BATCH_ENDPOINTS_TOKEN", "of-the-node")
    assert pickle.loads(sent).token == "of-the-node"
