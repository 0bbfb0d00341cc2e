"""Azure's own notebooks, unchanged, against this server."""

from pathlib import Path

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
