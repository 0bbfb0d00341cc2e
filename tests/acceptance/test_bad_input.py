"""What goes wrong gets a clear answer, at once, and nothing else suffers from it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batch_endpoints.cli.local_ray import free_ports
from batch_endpoints.errors import InputError, JobFailed, SpecError

GOOD = "def run(mini_batch):\n    return [len(file) for file in mini_batch]\n"


def invoke(server, endpoint, uri, **headers):
    body = {"properties": {"inputData": {"data": {"jobInputType": "UriFolder", "uri": str(uri)}}}}
    return server.http.post(f"{server.url}/endpoints/{endpoint}/jobs", json=body, headers=headers, timeout=60)


def test_code_that_cannot_be_loaded_fails_the_job_once_with_file_and_line(server, deploy, numbered_files):
    script = "def init():\n    open('no such file')\n\n\n" + GOOD
    endpoint = deploy("broken-code", script, max_concurrency_per_instance=2, mini_batch_size=1)
    job = server.client.invoke(endpoint, input=str(numbered_files(6)))
    with pytest.raises(JobFailed) as failure:
        job.wait(timeout_seconds=240)
    assert "score.py:2: FileNotFoundError" in str(failure.value)
    assert job.document["launches"] == 1
    assert job.progress.items_failed == 0, "nothing was tried, so nothing was tried again"


def test_a_syntax_error_is_refused_when_the_deployment_is_created(deploy):
    with pytest.raises(SpecError, match=r"score\.py:2"):
        deploy("bad-syntax", "def run(mini_batch):\n    return [\n")


def test_a_wrong_return_type_fails_its_items_and_is_the_headline(server, deploy, numbered_files):
    endpoint = deploy("wrong-type", "def run(mini_batch):\n    return 42\n", retry_settings={"max_retries": 1})
    job = server.client.invoke(endpoint, input=str(numbered_files(3)))
    with pytest.raises(JobFailed, match=r"run\(\) returned an int; it must return a list, a tuple or a pandas.Data"):
        job.wait(timeout_seconds=240)
    assert job.progress.items_failed == 3


class TestBeforeAnyJob:
    """A request that cannot work is answered with a 4xx, and no job exists because of it."""

    @pytest.fixture(autouse=True)
    def endpoint(self, server, deploy):
        deploy("fine-code", GOOD)
        yield
        assert server.http.get(f"{server.url}/endpoints/fine-code/jobs", timeout=30).json()["value"] == []
        server.client.endpoints.delete("fine-code")

    def test_a_missing_input(self, server):
        answer = invoke(server, "fine-code", "/no/such/folder")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "InvalidInput"
        assert "/no/such/folder' does not exist" in answer.json()["error"]["message"]

    def test_an_empty_folder(self, server, tmp_path):
        (tmp_path / "empty").mkdir()
        answer = invoke(server, "fine-code", tmp_path / "empty")
        assert answer.status_code == 400
        assert "a folder without files" in answer.json()["error"]["message"]

    def test_an_unknown_deployment(self, server, numbered_files):
        answer = invoke(server, "fine-code", numbered_files(1), **{"azureml-model-deployment": "other"})
        assert answer.status_code == 404
        assert "Deployment name other not found for this endpoint" in answer.json()["error"]["message"]

    def test_no_default_deployment(self, server, numbered_files):
        server.client.endpoints.update("fine-code", {"defaults": {"deployment_name": ""}})
        answer = invoke(server, "fine-code", numbered_files(1))
        assert answer.status_code == 400
        assert "No valid deployments to route to" in answer.json()["error"]["message"]

    def test_a_malformed_body(self, server):
        address = f"{server.url}/endpoints/fine-code/jobs"
        answer = server.http.post(address, data="{", headers={"content-type": "application/json"}, timeout=30)
        assert answer.status_code == 400
        assert "Traceback" not in answer.text

    def test_the_python_client_raises_the_same_error(self, server):
        with pytest.raises(InputError, match="does not exist"):
            server.client.invoke("fine-code", input="file:///no/such/folder")


def test_twenty_equal_requests_with_one_id_make_one_job(server, deploy, numbered_files):
    endpoint = deploy("once-only", GOOD)
    folder = numbered_files(2)
    same = {"repeatability_request-id": "4f9c2c44-0b4c-4d0c-9d51-6f1c9c0d1a11"}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: invoke(server, endpoint, folder, **same), range(20)))
    assert {answer.status_code for answer in answers} == {201}
    (name,) = {answer.json()["name"] for answer in answers}
    listed = server.http.get(f"{server.url}/endpoints/{endpoint}/jobs", timeout=30).json()["value"]
    assert [job["name"] for job in listed] == [name]
    server.client.job(name).cancel()


def test_a_job_name_that_exists_is_a_conflict(server, deploy, numbered_files):
    endpoint = deploy("named-jobs", GOOD)
    folder = str(numbered_files(1))
    server.client.invoke(endpoint, input=folder, job_name="monday").cancel()
    failed = server.run("endpoint", "invoke", "-n", endpoint, "--input", folder, "--job-name", "monday")
    assert failed.returncode == 1
    assert "'monday'" in failed.stderr
    assert "exists" in failed.stderr


def test_a_misspelt_key_names_file_line_and_the_nearest_key(server, tmp_path):
    file = tmp_path / "deployment.yml"
    file.write_text("name: typo-one\nmodel: {path: .}\nsettings:\n  mini_batch_sise: 10\n")
    failed = server.run("deployment", "create", "-f", file, "-e", "tumor")
    assert failed.returncode == 1
    assert f"{file}:4: unknown key 'settings.mini_batch_sise'; did you mean 'mini_batch_size'?" in failed.stderr


class TestServerCommands:
    def test_up_twice_says_that_a_server_is_up(self, server):
        again = server.run("up")
        assert again.returncode == 0
        assert f"A server is up already at {server.url}" in again.stderr
        assert json.loads(again.stdout)["url"] == server.url

    def test_up_twice_on_another_port_is_refused(self, server):
        (port,) = free_ports(1)
        again = server.run("up", "--port", str(port))
        assert again.returncode == 1
        assert f"a server of this home is up at {server.url}, not on port {port}" in again.stderr

    def test_down_when_nothing_is_up_says_so(self, shell):
        down = shell.run("down")
        assert down.returncode == 0
        assert "Nothing is up" in down.stderr

    def test_a_cluster_that_does_not_answer_is_named_at_once(self, shell):
        (port,) = free_ports(1)
        up = shell.run("up", "--ray-address", f"127.0.0.1:{port}", timeout=60)
        assert up.returncode == 1
        assert f"no Ray cluster answers at '127.0.0.1:{port}'" in up.stderr
        assert not (shell.home / "server.json").exists()

    def test_a_taken_port_is_named_with_the_way_out(self, server, shell):
        port = server.url.rpartition(":")[2]
        up = shell.run("up", "--port", port)
        assert up.returncode == 1
        assert f"cannot listen on port {port} of 127.0.0.1" in up.stderr
        assert "--port" in up.stderr

    def test_listening_beyond_loopback_is_refused(self, shell):
        up = shell.run("up", "--host", "0.0.0.0")
        assert up.returncode == 1
        for words in ("the server would listen on 0.0.0.0", "runs code as the server", "--insecure"):
            assert words in up.stderr

    def test_a_name_that_is_not_loopbacks_is_refused(self, server):
        answer = server.http.get(f"{server.url}/jobs", headers={"Host": "evil.example"}, timeout=30)
        assert answer.status_code == 403

    def test_status_shows_where_the_server_is(self, server):
        assert json.loads(server("status"))["url"] == server.url


def test_a_relative_path_in_a_yaml_is_relative_to_that_yaml(server, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "weights.bin").write_bytes(b"1")
    (tmp_path / "deep" / "model.yml").write_text("name: weights\npath: weights.bin\n")
    monkeypatch.chdir(Path("/"))
    shown = json.loads(server("model", "create", "-f", tmp_path / "deep" / "model.yml"))
    assert shown["path"].startswith("upload://")
    assert shown["path"].endswith("/weights.bin")
