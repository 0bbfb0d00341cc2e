"""Azure's own notebooks, unchanged, against this server."""

from pathlib import Path

import mlflow.sklearn
from sklearn.linear_model import LinearRegression
from workspace_server import run_client

NOTEBOOKS = Path(__file__).parent / "notebooks"


def test_a_scoring_script_is_deployed_invoked_followed_and_downloaded(server, client_python, project):
    found = run_client(server, client_python, NOTEBOOKS / "script_deployment.py", project)

    assert found["scoring_uri"].startswith(server.url)
    assert found["model_versions"] == ["1", "2"]
    assert found["deployments"] == ["by-name", "by-value"]
    assert found["changed"] == [1, 60, {"ADD": "1"}]
    assert found["data_version"] == "1"
    assert found["by_value"] == ["a.csv 1", "b.csv 2", "c.csv 3"]
    assert found["of_child"] == found["by_value"]
    assert found["children"] == ["batchscoring"]
    assert set(found["logs"]) == {"artifacts"}
    assert found["by_name"] == ["a.csv"]
    assert found["status"] == "Completed"
    assert (found["jobs"], found["jobs_of_deployment"]) == (2, 1)
    assert found["listed"] == [True], "an archived job is left out"
    assert found["downloaded"] == ["empty.txt", "weights.txt"]
    assert found["endpoints"] == []


def test_a_pipeline_is_deployed_invoked_and_run_as_a_job(server, client_python, project):
    found = run_client(server, client_python, NOTEBOOKS / "pipelines.py", project)

    assert found["compute"] == ["cpu", 2]
    assert found["component"] == ["totals", ["cleaning", "scaling"]]
    assert found["status"] == "Completed"
    assert found["steps"] == ["cleaning", "scaling"]
    assert found["deployed"] == "9"
    assert found["job"] == ["Completed", "totals"]
    assert found["of_job"] == "6"
    assert found["from_job"] == "Completed"
    assert found["deployments"] == ["from-job", "totals-1"]


def test_wrong_use_is_answered_with_the_clients_own_exceptions_and_our_sentence(server, client_python, project):
    found = run_client(server, client_python, NOTEBOOKS / "wrong_use.py", project)

    assert found["no endpoint"][0] == "ResourceNotFoundError"
    assert "nowhere" in found["no endpoint"][1]
    assert found["name"][0] == "HttpResponseError"
    assert "expected 3 to 32 letters" in found["name"][1]
    assert found["other content"][0] == "ResourceExistsError"
    assert "A version never changes" in found["other content"][1]
    assert found["no model"][0] == "ResourceNotFoundError"
    assert found["no default"][0] == "HttpResponseError"
    assert "has no default deployment" in found["no default"][1]
    assert found["deleted job"] == ["ResourceNotFoundError", "no job"]
    assert found["failed job"][0] == "JobException"
    assert "the model is broken" in found["failed job"][1]


def test_a_model_of_mlflow_is_scored_without_a_script_into_a_place_of_ones_own(server, client_python, project):
    model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    mlflow.sklearn.save_model(model, project / "mlflow_model", serialization_format="pickle")
    found = run_client(server, client_python, NOTEBOOKS / "overrides.py", project)

    assert found["status"] == "Completed"
    rows = [line.split(",") for line in found["rows"]]
    assert [(int(row), round(float(value), 6), file) for row, value, file in rows] == [
        (0, 3.0, "a.csv"),
        (0, 5.0, "b.csv"),
        (0, 7.0, "deep/c.csv"),
    ]
    assert found["environment"] == ["1", ["python=3.11"]]
    assert found["names"] == ["scoring"]
    assert found["models"] == []
