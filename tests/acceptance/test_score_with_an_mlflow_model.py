"""A person with an MLflow model and a folder of CSV files gets predictions through an endpoint, with plain HTTP."""

from __future__ import annotations

import json
import time

import mlflow
import pandas as pd
import pytest
import requests

from batch_endpoints.storage.files.addresses import local_path


@pytest.fixture(scope="module")
def job(server, tumor):
    """The job of the example, invoked as any HTTP client would, looked at until it has ended."""
    (tumor / "data" / "broken.csv").write_text('mean radius,"mean\n')
    server("endpoint", "create", "-f", tumor / "endpoint.yml")
    server("deployment", "create", "-f", tumor / "deployment.yml", "--set-default")
    body = {"properties": {"InputData": {"tumors": {"JobInputType": "UriFolder", "Uri": str(tumor / "data")}}}}
    response = server.http.post(f"{server.url}/endpoints/tumor/jobs", json=body, timeout=30)
    assert response.status_code == 201, response.text
    address = response.headers["Location"]
    deadline = time.monotonic() + 240
    http = server.http
    while (shown := http.get(address, timeout=30).json())["properties"]["status"] not in ("Completed", "Failed"):
        assert time.monotonic() < deadline, shown
        time.sleep(0.5)
    return shown


def test_every_row_has_the_models_prediction_in_the_order_of_the_input(server, tumor, tmp_path, job):
    assert job["properties"]["status"] == "Completed", job["properties"]["error"]
    address = f"{server.url}/jobs/{job['name']}/outputs/score"
    listed = server.http.get(address, timeout=30).json()
    assert [file["path"] for file in listed["value"]] == ["predictions.csv"]
    downloaded = tmp_path / "downloaded.csv"
    downloaded.write_bytes(server.http.get(f"{address}/predictions.csv", timeout=30).content)

    model = mlflow.pyfunc.load_model(str(tumor / "model"))
    expected = []
    for file in sorted((tumor / "data").glob("tumors-*.csv")):
        predictions = model.predict(pd.read_csv(file))
        expected += [(row, value, file.name) for row, value in enumerate(predictions)]
    found = pd.read_csv(downloaded)
    assert list(found.columns) == ["row", "prediction", "file"]
    assert list(found.itertuples(index=False, name=None)) == expected


def test_a_corrupt_file_is_a_failed_item_with_its_reason(job, server):
    progress = job["properties"]["progress"]
    assert (progress["items"], progress["itemsSucceeded"], progress["itemsFailed"]) == (9, 8, 1)
    folder = local_path(job["properties"]["folder"])
    (failed,) = [json.loads(line) for line in (folder / "failed_items.jsonl").read_text().splitlines()]
    assert failed["file"] == "broken.csv"
    assert "EOF inside string" in failed["reason"]


def test_the_logs_tell_the_jobs_steps(server, job):
    logs = server.http.get(f"{server.url}/jobs/{job['name']}/logs", timeout=30).text
    assert "Running" in logs
    assert "has ended: Completed" in logs


def test_the_documentation_of_the_interface_is_served(server):
    browser = requests.Session()
    assert browser.get(server.docs, timeout=30).status_code == 200
    paths = browser.get(f"{server.url}/openapi.json", timeout=30).json()["paths"]
    assert "/endpoints/{endpoint}/jobs" in paths
    assert requests.get(server.docs, timeout=30).status_code == 401  # it opens once
