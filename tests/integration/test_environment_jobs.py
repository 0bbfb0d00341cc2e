"""Jobs under interpreters of their own: what is stated, what MLflow recorded, another Python, tables across it."""

import csv
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from job_folders import Job, noting
from pythons_here import ask, minors, needs

from batch_endpoints.engine.driver.job_yml import freeze
from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.environments.interpreters import find_interpreter
from batch_endpoints.specs import Environment
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-environment"

VERSIONS = """
import os, sys
def run(mini_batch):
    return [".".join(map(str, sys.version_info[:2])) + " " + os.path.dirname(os.__file__) for _ in mini_batch]
"""


@needs(3, 8)
def test_a_deployment_on_python_3_8_scores_beside_one_on_the_servers(tmp_path, cached):
    conda = {"dependencies": ["python=3.8", {"pip": ["six==1.16.0"]}]}
    script = f"import six\n{VERSIONS}"
    old = Job(tmp_path / "old", script, files=3, deployment={"environment": {"name": "old", "conda_file": conda}})
    own = Job(tmp_path / "own", VERSIONS, files=3)

    assert (old.run().status, own.run().status) == ("Completed", "Completed")

    assert {row["prediction"].split()[0] for row in old.rows()} == {"3.8"}
    assert {row["prediction"].split()[0] for row in own.rows()} == {f"3.{sys.version_info[1]}"}


def test_a_script_has_the_variables_of_the_conda_file_and_those_of_the_deployment_go_before_them(tmp_path, cached):
    script = "import os\ndef run(mini_batch):\n    return [os.environ['A'] + os.environ['B'] for _ in mini_batch]"
    conda = {"dependencies": ["pip"], "variables": {"A": "conda's", "B": "conda's"}}
    settings = {"environment_variables": {"B": "own"}}
    job = Job(tmp_path, script, files=1, deployment={"environment": {"conda_file": conda}}, settings=settings)
    assert job.run().status == "Completed"
    assert [row["prediction"] for row in job.rows()] == ["conda'sown"]


def test_a_broken_environment_fails_the_job_once_in_the_words_of_uv(tmp_path, cached):
    script = f"{noting(tmp_path)}\ndef run(mini_batch):\n    note('ran')\n    return mini_batch"
    job = Job(tmp_path, script, deployment={"environment": {"name": "e", "requirements": ["six==99.1"]}})

    state = job.run()

    assert (state.status, state.error.code) == ("Failed", "EnvironmentFailed")
    assert state.error.message.startswith("the environment could not be built: No solution found when resolving")
    assert "there is no version of six==99.1" in state.error.message
    where, *in_full, mend = state.error.details.splitlines()
    assert where == "environment 'e' of deployment 'echo'"
    assert "No solution found" in in_full[0]
    assert mend == "To try it without a job: batch-endpoints environment build -f <its file>"
    assert job.calls() == []
    assert job.commits() == []


def test_a_node_builds_it_once_however_many_workers_of_a_job_ask(tmp_path, cached, caplog):
    class OnAnotherNode(LocalRunner):  # than the driver, which has built it: there nothing is built yet
        def run(self, *work):
            shutil.rmtree(cached)
            caplog.clear()
            return super().run(*work)

    script = "import os, sys\ndef run(mini_batch):\n    return [sys.executable + ' ' + str(os.getpid())]"
    environment = {"requirements": ["six==1.16.0"]}
    settings = {"max_concurrency_per_instance": 4}
    job = Job(tmp_path, script, files=40, deployment={"environment": environment}, settings=settings)
    caplog.set_level("INFO", "batch_endpoints.environments")

    assert job.run(OnAnotherNode).status == "Completed"

    hosts = {tuple(row["prediction"].split()) for row in job.rows()}
    assert len({interpreter for interpreter, _ in hosts}) == 1
    assert len({process for _, process in hosts}) > 1
    assert [record.message.partition(":")[0] for record in caplog.records if "build" in record.name] == [
        "environment is being built",
        "environment built",
    ]


def test_what_was_decided_about_the_environment_is_said_in_the_job(tmp_path, cached):
    job = Job(tmp_path, files=2, deployment={"environment": {"name": "e", "image": "mcr/x", "requirements": ["six"]}})
    state = job.run()
    assert state.status == "Completed", state.error
    (note,) = state.notes
    assert note.startswith("environment 'e' has image, for compute that runs containers: here its interpreter comes")


MADE = """
import pickle, sys
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
pickle.dump(model, open(sys.argv[1], "wb"))
"""
OLD_SKLEARN = """
import glob, os, pickle, sys
import sklearn

def init():
    global model
    model = pickle.load(open(glob.glob(os.environ["AZUREML_MODEL_DIR"] + "/*/m.pkl")[0], "rb"))

def run(mini_batch):
    values = [[float(open(file).read())] for file in mini_batch]
    said = {"sklearn": sklearn.__version__, "python": ".".join(map(str, sys.version_info[:2]))}
    return [{"label": int(label), **said} for label in model.predict(values)]
"""
OLD_ONES = {(3, 8): "0.24.2", (3, 9): "1.0.2", (3, 10): "1.1.3", (3, 12): "1.3.2"}
"""Python -> a scikit-learn of its time."""


@pytest.fixture(scope="module")
def old_sklearn(tmp_path_factory):
    """An environment on another Python than the server's, built once for all: its Python, scikit-learn, the
    environment, its interpreter, and the cache that it is in.
    """
    python = next((minor for minor in OLD_ONES if minor in minors() and minor != sys.version_info[:2]), None)
    if python is None:
        pytest.skip(f"none of the Pythons {', '.join(f'{a}.{b}' for a, b in OLD_ONES)} is on this machine")
    lines = [f"scikit-learn=={OLD_ONES[python]}", "pandas", "numpy<2"]
    dependencies = [f"python={python[0]}.{python[1]}", "pip", {"pip": lines}]
    environment = {"name": "old-sklearn", "image": "mcr/base", "conda_file": {"dependencies": dependencies}}
    place = tmp_path_factory.mktemp("old-sklearn")
    with closing(find_interpreter(Environment.model_validate(environment), place)) as made:
        yield SimpleNamespace(
            python=f"{python[0]}.{python[1]}",
            sklearn=OLD_ONES[python],
            environment=environment,
            interpreter=made.path,
            cache=place,
        )


def test_an_old_scikit_learn_on_an_old_python_scores_beside_the_servers(tmp_path, old_sklearn, monkeypatch):
    import sklearn

    monkeypatch.setenv("BATCH_ENDPOINTS_CACHE", str(old_sklearn.cache))
    one = {"max_concurrency_per_instance": 1, "mini_batch_size": 2}
    environment = {"environment": old_sklearn.environment}
    old = Job(tmp_path / "old", OLD_SKLEARN, files=4, deployment=environment, settings=one)
    own = Job(tmp_path / "own", OLD_SKLEARN, files=4, settings=one)
    for job, interpreter in ((old, old_sklearn.interpreter), (own, sys.executable)):
        for n, file in enumerate(sorted(job.input.iterdir())):
            file.write_text(str(float(n)))
        subprocess.run([interpreter, "-c", MADE, str(job.place / "registered" / "model" / "m.pkl")], check=True)

    running = [job.start() for job in (old, own)]
    said = [engine.communicate(timeout=240)[0] for engine in running]

    assert [engine.returncode for engine in running] == [0, 0], said
    own_python = ".".join(map(str, sys.version_info[:2]))
    for job, versions in ((old, (old_sklearn.sklearn, old_sklearn.python)), (own, (sklearn.__version__, own_python))):
        assert [(row["label"], row["sklearn"], row["python"]) for row in job.rows()] == [
            (label, *versions) for label in "0011"
        ]


@pytest.mark.parametrize(
    ("module", "annotation", "kind", "ids"),
    [
        ("pandas", "pandas.DataFrame", "pandas.core.frame.DataFrame", "mini_batch['id'].tolist()"),
        ("pyarrow", "pyarrow.Table", "pyarrow.lib.Table", "mini_batch['id'].to_pylist()"),
        ("numpy", "dict[str, numpy.ndarray]", "builtins.dict", "mini_batch['id'].tolist()"),
    ],
    ids=["pandas", "pyarrow", "numpy"],
)
def test_tables_cross_to_another_python(tmp_path, old_sklearn, monkeypatch, module, annotation, kind, ids):
    monkeypatch.setenv("BATCH_ENDPOINTS_CACHE", str(old_sklearn.cache))
    script = f"""
from __future__ import annotations
import sys, {module}
def run(mini_batch: {annotation}):
    kind = type(mini_batch)
    said = f"{{sys.version_info[0]}}.{{sys.version_info[1]}} {{kind.__module__}}.{{kind.__qualname__}}"
    return [f"{{id}} {{said}}" for id in {ids}]
"""
    job = Job(tmp_path, script, files=0, deployment={"environment": old_sklearn.environment})
    (job.input / "a.csv").write_text('id,text\n1,"x\ny"\n2,\n')

    state = job.run()

    assert state.status == "Completed", state.error
    assert [row["prediction"] for row in job.rows()] == [f"{id} {old_sklearn.python} {kind}" for id in (1, 2)]


@pytest.fixture(scope="module")
def numpy_alone(tmp_path_factory):
    """A cache for environments that ask for numpy and nothing else, built once for all."""
    return tmp_path_factory.mktemp("numpy-alone")


def test_tables_cross_where_only_numpy_was_asked_for(tmp_path, numpy_alone, monkeypatch):
    monkeypatch.setenv("BATCH_ENDPOINTS_CACHE", str(numpy_alone))
    script = "import numpy\ndef run(mini_batch: dict[str, numpy.ndarray]):\n    return mini_batch['id'] * 2"
    job = Job(tmp_path, script, files=0, deployment={"environment": {"requirements": ["numpy"]}})
    (job.input / "a.csv").write_text("id\n1\n2\n")

    state = job.run()

    assert state.status == "Completed", state.error
    assert [row["prediction"] for row in job.rows()] == ["2", "4"]


def test_a_table_in_a_form_that_the_environment_lacks_is_told_with_the_package(tmp_path, numpy_alone, monkeypatch):
    monkeypatch.setenv("BATCH_ENDPOINTS_CACHE", str(numpy_alone))
    script = "def run(mini_batch: 'pandas.DataFrame'):\n    return mini_batch"
    job = Job(tmp_path, script, files=0, deployment={"environment": {"requirements": ["numpy"]}})
    (job.input / "a.csv").write_text("id\n1\n")

    state = job.run()

    assert (state.status, state.error.code) == ("Failed", "InitFailed")
    assert (
        "run() gets tables (pandas), which takes pandas: add it to the deployment's environment"
        in state.error.message
    )


# MLflow models without a stated environment. The script says which interpreter it has; the recorded files alone
# decide, so the model need not be one.

WHERE = """
import sys
def run(mini_batch):
    return [sys.executable for _ in mini_batch]
"""


def mlflow_job(place, files, **deployment):
    model = place / "registered" / "model"
    model.mkdir(parents=True)
    for name, text in files.items():
        (model / name).write_text(text)
    registered = {"name": "m", "version": "1", "type": "mlflow_model", "path": model.as_uri()}
    return Job(place, WHERE, files=2, deployment={"model": registered, **deployment})


def test_an_mlflow_model_that_the_servers_interpreter_satisfies_uses_it(tmp_path, cached):
    from importlib.metadata import version

    python = f"python: 3.{sys.version_info[1]}.0\ndependencies:\n- -r requirements.txt\n"
    lines = f"click=={version('click')}\npydantic>=2\n"
    job = mlflow_job(tmp_path, {"python_env.yaml": python, "requirements.txt": lines})
    state = job.run()

    assert (state.status, state.notes) == ("Completed", ())
    assert {row["prediction"] for row in job.rows()} == {sys.executable}
    assert not (Path(cached) / "environments").exists()


def test_an_mlflow_model_that_it_does_not_satisfy_gets_one_built_from_what_is_recorded(tmp_path, cached):
    job = mlflow_job(tmp_path, {"requirements.txt": "six==1.15.0\n"})
    state = job.run()

    assert state.status == "Completed", state.error
    (interpreter,) = {row["prediction"] for row in job.rows()}
    assert Path(interpreter).is_relative_to(cached)
    assert ask(interpreter, "six.__version__", "six") == "1.15.0"
    assert state.notes[0].startswith("the model was recorded with six==1.15.0, wh")
    assert state.notes[0].endswith(": an interpreter is built from what is recorded")


def test_a_recorded_environment_that_cannot_be_built_says_that_another_one_can_be_stated(tmp_path, cached):
    state = mlflow_job(tmp_path, {"requirements.txt": "six==99.1\n"}).run()

    assert (state.status, state.error.code) == ("Failed", "EnvironmentFailed")
    where, *_, mend = state.error.details.splitlines()
    assert where == "what MLflow recorded with the model of deployment 'echo'"
    assert mend == "An 'environment' in the deployment goes before what is recorded."


def test_the_python_that_stands_in_for_the_recorded_one_is_said_in_the_job(tmp_path, cached, without_index):
    job = mlflow_job(tmp_path, {"python_env.yaml": "python: 3.8.0\n"})
    state = job.run()

    assert state.status == "Completed", state.error
    (interpreter,) = {row["prediction"] for row in job.rows()}
    version = ask(interpreter, "platform.python_version()", "platform")
    of_the_model, of_the_python = state.notes[:2]
    assert of_the_model.startswith("the model was recorded with Python 3.8.0, where the server has 3.")
    assert of_the_python == f"Python 3.8.0 is not on this machine: {version}, the nearest newer one, is used"
    assert job.report()["versions"]["host_python"] == version


def test_a_stated_environment_goes_before_the_recorded_one(tmp_path, cached):
    job = mlflow_job(tmp_path, {"requirements.txt": "six==1.15.0\n"}, environment={"python": sys.executable})

    assert job.run().status == "Completed"
    assert {row["prediction"] for row in job.rows()} == {sys.executable}


def test_an_image_alone_leaves_the_recorded_environment_in_force_and_says_so(tmp_path, cached):
    environment = {"name": "e", "image": "mcr/base"}
    job = mlflow_job(tmp_path, {"requirements.txt": "six==1.15.0\n"}, environment=environment)
    state = job.run()

    assert state.status == "Completed", state.error
    (interpreter,) = {row["prediction"] for row in job.rows()}
    assert ask(interpreter, "six.__version__", "six") == "1.15.0"
    of_the_image, of_the_model = state.notes
    assert of_the_image.endswith(": here what is recorded with the model is used")
    assert of_the_model.startswith("the model was recorded with six==1.15.0, wh")


def test_the_example_scores_with_a_package_that_the_server_has_not(tmp_path, cached):
    folder, job = tmp_path / "example", tmp_path / "job"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "model"))
    subprocess.run([sys.executable, str(folder / "prepare.py"), str(folder), "--files", "30"], check=True)
    job.mkdir()
    text = "deployment: ../example/deployment.yml\ninputs:\n  reviews: {type: uri_folder, path: ../example/data}\n"
    (job / "job.yml").write_text(text)
    job_folder = JobFolder(writable_place(job.as_uri()), job.as_uri())
    freeze(job, job_folder)

    state = run_job(job_folder, LocalRunner)

    assert state.status == "Completed", state.error
    with (job / "named-outputs" / "score" / "moods.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"{row['mood']}.txt" for row in rows] == [row["file"].split("-")[1] for row in rows]
    assert len(rows) == 30
    if (3, 10) in minors():
        assert {row["python"].rpartition(".")[0] for row in rows} == {"3.10"}
