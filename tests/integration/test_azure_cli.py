"""``azure env`` and ``azure check``: how a shell is set up for Azure's client, and what they find wrong."""

import json
import os
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import certifi
import pytest
from click.testing import CliRunner

from batch_endpoints.cli import main
from batch_endpoints.cli.azure_check import findings
from batch_endpoints.cli.azure_variables import combined_authorities
from batch_endpoints.cli.certificates import make_certificates

sys.path.append(str(Path(__file__).parent.parent / "azure_client"))
from workspace_server import TOKEN, azure_server

NAMES = ["ARM_CLOUD_METADATA_URL", "REQUESTS_CA_BUNDLE", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with azure_server(tmp_path_factory.mktemp("server")) as running:
        (running.home / "server.json").write_text(json.dumps({"url": running.url, "id": "the-id"}))
        (running.home / "token").write_text(TOKEN)
        yield running


@pytest.fixture
def run(server, monkeypatch):
    """Runs the command line on the server's machine."""
    for name in (*NAMES, "AZUREML_CURRENT_CLOUD", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(server.home))
    monkeypatch.setenv("BATCH_ENDPOINTS_URL", server.url)
    monkeypatch.setenv("BATCH_ENDPOINTS_TOKEN", TOKEN)

    def invoke(*arguments, exit_code=0):
        result = CliRunner().invoke(main, list(arguments))
        assert result.exit_code == exit_code, result.output
        return result.stdout if exit_code == 0 else result.stderr or result.stdout

    return invoke


@pytest.fixture
def variables(run):
    return json.loads(run("azure", "env", "-o", "json"))


def failing(environment):
    return [(finding.check, finding.result, finding.mend) for finding in findings(environment) if finding.mend]


def test_env_prints_lines_that_a_shell_evaluates(run, variables):
    show = "import os, json; print(json.dumps(dict(os.environ)))"
    script = f"{run('azure', 'env')}{shlex.quote(sys.executable)} -c '{show}'"
    found = json.loads(subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout)
    assert {name: found[name] for name in variables} == variables
    assert set(NAMES) < set(variables)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("-o", "powershell"), "$env:AZUREML_RUN_POLLING_INTERVAL_MAX = '5'"),
        (("-o", "dotenv"), 'AZUREML_RUN_POLLING_INTERVAL_MAX="5"'),
        (("--notebook",), "%env AZUREML_RUN_POLLING_INTERVAL_MAX=5"),
    ],
    ids=["powershell", "dotenv", "notebook"],
)
def test_env_speaks_other_languages(run, arguments, line):
    assert line in run("azure", "env", *arguments).splitlines()


def test_env_refuses_a_server_that_speaks_plain_http(run, monkeypatch):
    monkeypatch.setenv("BATCH_ENDPOINTS_URL", "http://127.0.0.1:1")
    assert "`batch-endpoints azure up`" in run("azure", "env", exit_code=1)


def test_authorities_that_were_trusted_before_stay(tmp_path):
    now = datetime.now(timezone.utc)
    corporate, ours, later = (make_certificates(tmp_path / name, ["x"], now).authority for name in "abc")
    target = tmp_path / "bundle.pem"
    combined_authorities(ours, target, str(corporate))
    assert corporate.read_bytes() in target.read_bytes()
    assert ours.read_bytes() in target.read_bytes()
    combined_authorities(later, target, str(target))
    assert corporate.read_bytes() in target.read_bytes()
    assert ours.read_bytes() not in target.read_bytes()
    combined_authorities(ours, target, None)
    assert Path(certifi.where()).read_bytes() in target.read_bytes()


def test_check_finds_nothing_wrong_with_what_env_prints(run, variables, monkeypatch):
    assert failing(variables) == []
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert [row["mend"] for row in json.loads(run("azure", "check"))] == [""] * 5


def test_check_fails_where_something_is_wrong(run):
    assert "ARM_CLOUD_METADATA_URL" in run("azure", "check", exit_code=1)


@pytest.fixture
def old_authority(tmp_path):
    return str(make_certificates(tmp_path / "old", ["127.0.0.1"], datetime.now(timezone.utc)).authority)


@pytest.mark.parametrize(
    ("changed", "check", "says"),
    [
        ({"IDENTITY_HEADER": None}, "variables", "IDENTITY_HEADER"),
        ({"ARM_CLOUD_METADATA_URL": "http://127.0.0.1:1/metadata/endpoints"}, "variables", "plain HTTP"),
        ({"ARM_CLOUD_METADATA_URL": "https://127.0.0.1:1/metadata/endpoints"}, "server", "nothing answers"),
        ({"AZUREML_CURRENT_CLOUD": "AzureCloud"}, "cloud", "unset AZUREML_CURRENT_CLOUD"),
        ({"REQUESTS_CA_BUNDLE": "old"}, "server", "not trusted"),
        ({"REQUESTS_CA_BUNDLE": "/no/such/file"}, "server", "/no/such/file"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "proxy", "NO_PROXY"),
        ({"IDENTITY_HEADER": "another"}, "token", "not this server's"),
    ],
    ids=["variable", "plain HTTP", "down", "other cloud", "old authority", "no file", "proxy", "secret"],
)
def test_check_names_each_mistake_by_itself(variables, old_authority, changed, check, says):
    environment = {**variables, **{key: old_authority if value == "old" else value for key, value in changed.items()}}
    environment = {key: value for key, value in environment.items() if value}
    [(found, result, mend)] = failing(environment)
    assert found == check
    assert says in result + mend
    assert mend


def test_our_own_client_trusts_the_servers_certificate_by_itself(run, server, monkeypatch):
    monkeypatch.delenv("BATCH_ENDPOINTS_URL")
    assert run("endpoint", "list", "-o", "json").strip() == "[]"
    assert run("ca").strip() == str(server.home / "tls" / "ca.pem")
    (server.home / "tls" / "ca.pem").rename(server.home / "tls" / "hidden")
    try:
        assert "REQUESTS_CA_BUNDLE" in run("endpoint", "list", exit_code=1)
    finally:
        (server.home / "tls" / "hidden").rename(server.home / "tls" / "ca.pem")


def test_the_servers_keys_are_for_its_owner_alone(server):
    for file in (server.home / "tls").iterdir():
        assert os.stat(file).st_mode & 0o077 == 0, file
