"""``python -m batch_endpoints.engine``, with jobs that a person writes."""

import json
import subprocess
import sys

import pytest
from job_folders import Job


def by_hand(place, document, *more):
    place.mkdir(exist_ok=True)
    (place / "job.yml").write_text(document)
    for name, text in more:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "batch_endpoints.engine", "--local", str(place)],
        capture_output=True,
        text=True,
        timeout=120,
    )


DEPLOYMENT = """
name: echo
model: {path: ../model}
code_configuration: {scoring_script: score.py}
mini_batch_size: 2
max_concurrency_per_instance: 2
"""
SCRIPT = """
import os
def run(mini_batch):
    return [os.environ["BATCH_INPUT_GREETING"] + os.path.basename(file) for file in mini_batch]
"""
JOB = """
invoker: somebody-else
deployment: deploy/echo.yml
inputs:
  data: {type: uri_folder, path: ../data}
  greeting: {type: string, value: "hello "}
"""


def test_a_job_written_by_hand_runs_with_paths_relative_to_its_files(tmp_path):
    place = tmp_path / "by hand"
    ended = by_hand(
        place,
        JOB,
        ("deploy/echo.yml", DEPLOYMENT),
        ("deploy/score.py", SCRIPT),
        ("model/weights", ""),
        ("../data/x.txt", ""),
        ("../data/deep/y.txt", ""),
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    written = (place / "named-outputs" / "score" / "predictions.csv").read_text().replace('"', "")
    assert written.splitlines()[1:] == ["hello y.txt,deep/y.txt", "hello x.txt,x.txt"]
    assert json.loads((place / "job.json").read_text())["invoker"] == "operator"
    assert "has ended: Completed" in (place / "logs" / "driver.log").read_text()


def test_the_deployment_and_its_script_may_stand_in_the_job_folder_itself(tmp_path):
    inline = """
deployment:
  name: echo
  model: {path: weights}
  code_configuration: {code: ., scoring_script: score.py}
inputs:
  data: {type: uri_folder, path: data}
"""
    script = "import os\ndef run(batch):\n    return [' '.join(os.listdir(os.path.dirname(__file__)))] * len(batch)"
    place = tmp_path / "job"
    ended = by_hand(place, inline, ("score.py", script), ("weights", ""), ("data/x.txt", ""))

    assert ended.returncode == 0, ended.stdout + ended.stderr
    beside = (place / "named-outputs" / "score" / "predictions.csv").read_text()
    assert "score.py" in beside
    assert "parts" not in beside  # the job's own files are none of the script's


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("deployment: nowhere.yml\ninputs: {d: {path: .}}", "nowhere.yml"),
        (
            "deployment: {name: dep, model: 'azureml:m:1'}\ninputs: {d: {path: .}}",
            "refers to the model 'azureml:m:1'",
        ),
        ("deployment: {name: dep, model: {path: .}}\ninputs: [x]", "inputs"),
        ("deployment: {name: dep, model: {path: .}, compue: x}\ninputs: {}", "compute"),
        ("inputs: {}", "deployment"),
    ],
    ids=["no deployment file", "a reference", "a list of inputs", "a misspelt key", "no deployment"],
)
def test_a_job_written_wrongly_is_refused_with_its_place(tmp_path, document, message):
    ended = by_hand(tmp_path / "job", document)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_without_a_job_is_refused(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "batch_endpoints.engine", str(tmp_path)], capture_output=True, text=True, timeout=120
    )

    assert ended.returncode == 2
    assert "is not a job folder" in ended.stderr


def test_a_failed_job_ends_with_exit_code_1(tmp_path):
    job = Job(tmp_path, "def run(b): return None", files=1)
    process = job.start()
    said = process.communicate(timeout=120)[0]

    assert process.returncode == 1
    assert "run() returned None" in said
