"""Interpreters for deployments, built for real with uv: once per machine, side by side, readable when it fails."""

import csv
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import uv
from click.testing import CliRunner
from job_folders import Job, noting

from batch_endpoints.cli import main
from batch_endpoints.engine.driver import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.written_by_hand import freeze
from batch_endpoints.environments.build import list_pythons
from batch_endpoints.environments.cache import Built, EnvironmentCache
from batch_endpoints.environments.interpreters import find_interpreter
from batch_endpoints.errors import EnvironmentFailed, SpecError
from batch_endpoints.specs import Environment
from batch_endpoints.storage.filesystem import open_filesystem
from batch_endpoints.storage.job_folder import JobFolder

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-environment"
SIX = Environment(requirements=["six==1.16.0"])
DAY = 24 * 3600.0


@cache
def minors():
    return {tuple(map(int, python.version.split(".")[:2])) for python in list_pythons() if python.version[0] == "3"}


def needs(*minor):
    return pytest.mark.skipif(minor not in minors(), reason=f"no Python {'.'.join(map(str, minor))} on this machine")


def ask(interpreter, expression, modules="sys"):
    code = f"import {modules}; print({expression})"
    return subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The cache that jobs of this test use."""
    monkeypatch.setenv("BATCH_ENDPOINTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def find():
    """Finds interpreters as a job does, and lets go of them when the test ends."""
    with ExitStack() as found:
        yield lambda *asked: found.enter_context(closing(find_interpreter(*asked)))


@pytest.fixture
def without_index(tmp_path, monkeypatch):
    """A node that can install nothing, not even pyarrow."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "nothing-cached"))


def test_requirements_make_an_interpreter_that_has_them_and_none_of_ours(tmp_path, find):
    found = find(SIX, tmp_path)

    assert found.is_new
    assert found.built.packages == {"six": "1.16.0", "pyarrow": found.built.packages["pyarrow"]}
    assert ask(found.path, "six.__version__", "six") == "1.16.0"
    assert ask(found.path, "find_spec('pydantic')", "sys; from importlib.util import find_spec") == "None"
    assert os.path.realpath(found.path) == os.path.realpath(sys.executable)
    again = find(SIX, tmp_path)
    assert (again.path, again.is_new, again.built) == (found.path, False, found.built)


ASK = """
import sys
from pathlib import Path
from batch_endpoints.environments.interpreters import find_interpreter
from batch_endpoints.specs import Environment
found = find_interpreter(Environment(requirements=["six==1.16.0", "pip==24.0"]), Path(sys.argv[1]))
print(found.path, found.is_new)
"""


def test_it_is_built_once_however_many_processes_ask(tmp_path):
    asking = [
        subprocess.Popen([sys.executable, "-c", ASK, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in asking]

    assert len({path for path, _ in said}) == 1
    assert sorted(is_new for _, is_new in said) == ["False", "False", "False", "True"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["six==99.1"], "there is no version of six==99.1 and you require six==99.1"),
        (["six=>1"], "no such comparison operator"),
        (["six==1.16.0", "pandas==0.1.0.dev99"], "pandas"),
    ],
    ids=["no version", "no requirement", "beside pyarrow"],
)
def test_a_broken_build_says_what_uv_said_and_leaves_nothing(tmp_path, lines, words, find):
    with pytest.raises(EnvironmentFailed) as raised:
        find(Environment(requirements=lines), tmp_path)

    assert raised.value.what.startswith("the environment could not be built: ")
    assert words in raised.value.what
    assert "\n" not in raised.value.what
    assert [path for path in (tmp_path / "environments").iterdir() if path.is_dir()] == []


def test_a_package_that_cannot_be_compiled_says_its_own_last_words(tmp_path, find):
    package = tmp_path / "odd-1.0"
    package.mkdir()
    (package / "setup.py").write_text("raise RuntimeError('libodd is not installed')")
    with pytest.raises(EnvironmentFailed, match="RuntimeError: libodd is not installed"):
        find(Environment(requirements=[str(package)]), tmp_path / "cache")


def test_an_old_setuptools_is_there_for_packages_that_import_it_unless_another_one_is_required(tmp_path, find):
    minor = f"python=3.{sys.version_info[1]}"
    asked = find(Environment(conda_file={"dependencies": [minor, "pip=21", "setuptools=58"]}), tmp_path)
    recorded = "build_dependencies: [pip==21.0, setuptools==58.1.0]\ndependencies: [setuptools>=60, six==1.15.0]\n"
    required = find(None, tmp_path, {"python_env.yaml": recorded})

    assert ask(asked.path, "pkg_resources.__name__", "pkg_resources") == "pkg_resources"
    assert asked.built.packages["setuptools"].startswith("58.")
    assert int(required.built.packages["setuptools"].split(".")[0]) >= 60


def test_build_dependencies_are_no_reason_to_build_an_interpreter(tmp_path, find):
    recorded = "build_dependencies: [setuptools==58.1.0, wheel==0.30]\ndependencies: [click]\n"
    assert find(None, tmp_path, {"python_env.yaml": recorded}).path == sys.executable


def test_an_interpreter_that_is_named_is_used_as_it_is_or_built_on(tmp_path, find):
    own = os.path.realpath(sys.executable)
    assert find(Environment(python=own), tmp_path).path == own
    assert not (tmp_path / "environments").exists()
    assert find(Environment(python=own, requirements=["six==1.16.0"]), tmp_path).built.packages
    with pytest.raises(SpecError, match="'/no/python' is not a program on this machine"):
        find(Environment(python="/no/python"), tmp_path)


def test_an_environment_that_pyarrow_cannot_be_added_to_is_built_without_it_and_says_so(
    tmp_path, without_index, find
):
    found = find(Environment(conda_file={"dependencies": [f"python=3.{sys.version_info[1]}"]}), tmp_path / "cache")

    assert found.built.packages == {}
    assert found.notes == (
        "tables cannot be given to the environment: it has no pyarrow, and none can be added to what it asks for",
    )


def test_a_pyarrow_that_is_asked_for_is_the_one_there_is(tmp_path, find):
    found = find(Environment(requirements=["pyarrow<20"]), tmp_path)
    assert int(found.built.packages["pyarrow"].split(".")[0]) < 20


@needs(3, 8)
def test_a_python_that_is_missing_is_replaced_by_the_nearest_newer_one_and_said(tmp_path, find):
    found = find(Environment(conda_file={"dependencies": ["python=3.8.0", "pip"]}), tmp_path)

    assert found.built.version.startswith("3.8.")
    assert found.notes == (
        f"Python 3.8.0 is not on this machine: {found.built.version}, the nearest newer one, is used",
    )


MICROMAMBA = """#!/bin/sh
# stands in for micromamba, mamba and conda: tells the channels that are configured, makes the prefix, and notes what
# it was asked for
cd "$(dirname "$0")"
if [ "$1" = config ]; then cat configured && exit; fi
echo "$@" > asked
while [ "$1" != --prefix ]; do shift; done
exec {uv} venv --quiet "$2"
"""


@pytest.fixture
def micromamba(tmp_path, monkeypatch):
    """A micromamba on the path, in a folder of its own; ``asked`` in there is what it was asked for last."""
    program = tmp_path / "bin" / "micromamba"
    program.parent.mkdir()
    program.write_text(MICROMAMBA.format(uv=uv.find_uv_bin()))
    program.chmod(0o755)
    (program.parent / "configured").write_text("channels:\n  []\n")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program.parent


def test_conda_packages_go_through_a_micromamba_on_the_path(tmp_path, micromamba, find):
    conda = {
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": ["python=3.11", "ffmpeg=6", {"pip": ["six==1.16.0"]}],
    }

    found = find(Environment(conda_file=conda), tmp_path / "cache")

    assert found.built.packages["six"] == "1.16.0"
    asked = (micromamba / "asked").read_text()
    assert asked.startswith("create --yes --quiet --prefix ")
    assert asked.endswith("--override-channels --channel conda-forge python=3.11 ffmpeg=6\n")


@pytest.mark.parametrize(
    ("program", "configured", "channels"),
    [
        ("micromamba", "", "--override-channels --channel conda-forge"),
        ("micromamba", "channels:\n  - ours\n", ""),
        ("mamba", None, ""),
        ("conda", "", ""),
    ],
    ids=[
        "micromamba, which knows none",
        "channels that are configured",
        "mamba before 2",
        "conda, which has defaults",
    ],
)
def test_a_conda_file_without_channels_gets_those_that_are_configured_or_conda_forge(
    tmp_path, micromamba, without_index, find, program, configured, channels
):
    (micromamba / "micromamba").rename(micromamba / program)
    (micromamba / "configured").unlink()
    if configured is not None:
        (micromamba / "configured").write_text(configured)

    found = find(Environment(conda_file={"dependencies": ["python=3.11", "ffmpeg=6"]}), tmp_path / "cache")

    place = Path(found.path).parents[1]
    asked = " ".join(
        part for part in (f"create --yes --quiet --prefix {place}", channels, "python=3.11 ffmpeg=6") if part
    )
    assert (micromamba / "asked").read_text() == f"{asked}\n"
    assert ("the conda file names no channels: conda-forge is used" in found.notes) is bool(channels)


def test_conda_packages_recorded_with_a_model_go_through_it_too(tmp_path, micromamba, find):
    recorded = f"channels: [conda-forge]\ndependencies: [python=3.{sys.version_info[1]}, ffmpeg=6, pip: [click]]\n"

    found = find(None, tmp_path / "cache", {"conda.yaml": recorded})

    assert "click" in found.built.packages
    assert (micromamba / "asked").read_text().endswith("ffmpeg=6\n")
    assert found.notes == (
        "the model was recorded with the conda package 'ffmpeg=6', which conda has to install:"
        " an interpreter is built from what is recorded",
    )


def test_conda_packages_recorded_with_a_model_that_are_there_already_need_no_conda(tmp_path, micromamba, find):
    recorded = f"dependencies: [python=3.{sys.version_info[1]}, click, mkl]\n"
    assert find(None, tmp_path / "cache", {"conda.yaml": recorded}).path == sys.executable
    assert not (micromamba / "asked").exists()


def test_conda_packages_recorded_with_a_model_are_missed_by_name_where_there_is_no_conda(tmp_path, find):
    with pytest.raises(SpecError, match="conda package 'ffmpeg=6' is not a Python package, and this machine has no"):
        find(None, tmp_path / "cache", {"conda.yaml": "dependencies: [ffmpeg=6]\n"})


# the cache, with environments that cost nothing


def fake(place, lock):
    (place / "bin").mkdir(parents=True)
    python = place / "bin" / "python"
    python.symlink_to(sys.executable)
    return Built(str(python), "3.11.7", {}, 0.1)


def age(folder, key, seconds):
    then = time.time() - seconds
    os.utime(folder / key / "ready.json", (then, then))


def test_what_nobody_has_used_for_long_is_removed_but_nothing_in_use(tmp_path):
    environments = EnvironmentCache(tmp_path)
    for key in ("fresh", "old", "used"):
        _, lease, _ = environments.get(key, fake)
        if key != "used":
            lease.close()
        age(tmp_path, key, DAY if key == "fresh" else 40 * DAY)
    (tmp_path / "crashed").mkdir()
    os.utime(tmp_path / "crashed", (0, 0))

    assert environments.remove_unused(time.time(), 30 * DAY) == ["crashed", "old"]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"fresh", "used"}
    lease.close()


@pytest.mark.parametrize("environment", [None, SIX], ids=["the server's interpreter", "one that is built"])
def test_whoever_asks_for_an_interpreter_removes_what_nobody_has_used_for_long(tmp_path, find, environment):
    environments = EnvironmentCache(tmp_path / "environments")
    environments.get("old", fake)[1].close()
    age(tmp_path / "environments", "old", 40 * DAY)

    find(environment, tmp_path)

    assert not (tmp_path / "environments" / "old").exists()


def test_old_environments_are_looked_for_once_a_day_however_many_jobs_begin(tmp_path):
    environments, now = EnvironmentCache(tmp_path), time.time()
    assert environments.remove_unused_daily(now) == []
    environments.get("old", fake)[1].close()
    age(tmp_path, "old", 40 * DAY)

    assert environments.remove_unused_daily(now + DAY - 1) == []
    assert environments.remove_unused_daily(now + DAY) == ["old"]


def test_a_cache_that_is_not_there_is_not_made_to_be_cleaned(tmp_path):
    assert EnvironmentCache(tmp_path / "none").remove_unused_daily(time.time()) == []
    assert not (tmp_path / "none").exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, find):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match=r"could not be built in .*/file'") as raised:
        find(SIX, tmp_path / "file")
    assert "BATCH_ENDPOINTS_CACHE" in str(raised.value)


def test_use_keeps_an_environment_young(tmp_path):
    environments = EnvironmentCache(tmp_path)
    environments.get("a", fake)[1].close()
    age(tmp_path, "a", 40 * DAY)

    environments.get("a", fake)[1].close()

    assert environments.remove_unused(time.time(), 30 * DAY) == []


def test_what_a_crash_has_left_is_built_anew(tmp_path):
    environments = EnvironmentCache(tmp_path)
    (tmp_path / "a" / "bin").mkdir(parents=True)
    (tmp_path / "a" / "half").write_text("")

    _, lease, is_new = environments.get("a", fake)
    lease.close()
    assert is_new
    assert not (tmp_path / "a" / "half").exists()


def test_an_environment_whose_python_is_gone_is_built_anew(tmp_path):
    environments = EnvironmentCache(tmp_path)
    environments.get("a", fake)[1].close()
    (tmp_path / "a" / "bin" / "python").unlink()

    _, lease, is_new = environments.get("a", fake)
    lease.close()
    assert is_new


def test_a_failed_build_is_tried_again_by_the_next_one(tmp_path):
    def broken(place, lock):
        place.mkdir()
        raise EnvironmentFailed("no")

    environments = EnvironmentCache(tmp_path)
    with pytest.raises(EnvironmentFailed):
        environments.get("a", broken)
    _, lease, is_new = environments.get("a", fake)
    lease.close()
    assert is_new


def test_what_a_killed_builder_has_started_still_keeps_the_others_out(tmp_path):
    child = []

    def leaves_a_child(place, lock):
        child.append(subprocess.Popen(["sleep", "60"], pass_fds=(lock,)))
        raise KeyboardInterrupt

    environments = EnvironmentCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        environments.get("a", leaves_a_child)
    try:
        with (tmp_path / "a.lock").open("ab") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child[0].kill()
        child[0].wait()
    _, lease, is_new = environments.get("a", fake)
    lease.close()
    assert is_new


# whole jobs

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
    lines = [f"scikit-learn=={OLD_ONES[python]}", "pandas<2", "numpy<2"]
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
    old = Job(tmp_path / "old", OLD_SKLEARN, files=4, deployment={"environment": old_sklearn.environment})
    own = Job(tmp_path / "own", OLD_SKLEARN, files=4)
    for job, interpreter in ((old, old_sklearn.interpreter), (own, sys.executable)):
        for n, file in enumerate(sorted(job.input.iterdir())):
            file.write_text(str(float(n)))
        subprocess.run([interpreter, "-c", MADE, str(job.place / "registered" / "model" / "m.pkl")], check=True)

    running = [job.start() for job in (old, own)]
    said = [engine.communicate(timeout=60)[0] for engine in running]

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
    assert not Path(cached).exists()


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


def test_the_python_that_stands_in_for_the_recorded_one_is_said_in_the_job(tmp_path, cached):
    job = mlflow_job(tmp_path, {"python_env.yaml": "python: 3.8.0\ndependencies: [six==1.15.0]\n"})
    state = job.run()

    assert state.status == "Completed", state.error
    (interpreter,) = {row["prediction"] for row in job.rows()}
    version = ask(interpreter, "platform.python_version()", "platform")
    of_the_model, of_the_python = state.notes
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
    job_folder = JobFolder(open_filesystem(job.as_uri()), job.as_uri())
    freeze(job, job_folder)

    state = run_job(job_folder, LocalRunner)

    assert state.status == "Completed", state.error
    with (job / "named-outputs" / "score" / "moods.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"{row['mood']}.txt" for row in rows] == [row["file"].split("-")[1] for row in rows]
    assert len(rows) == 30
    if (3, 10) in minors():
        assert {row["python"].rpartition(".")[0] for row in rows} == {"3.10"}


# the command line

CONDA_FILE = "name: c\ndependencies:\n- python>=3.8\n- pip\n- pip:\n  - six==1.16.0\n"


def command(*args):
    done = CliRunner().invoke(main, ["environment", "build", *map(str, args)])
    return done.exit_code, json.loads(done.stdout) if done.exit_code == 0 else done.stderr


@pytest.mark.parametrize("name", ["environment.yml", "conda.yml", "requirements.txt"])
def test_an_environment_is_built_beforehand_by_command(tmp_path, cached, name, find):
    (tmp_path / "environment.yml").write_text("name: own\nconda_file: conda.yml\n")
    (tmp_path / "conda.yml").write_text(CONDA_FILE)
    (tmp_path / "requirements.txt").write_text("six==1.16.0\n")

    code, first = command("-f", tmp_path / name)
    again = command("-f", tmp_path / name)[1]

    assert code == 0
    assert (first["built"], again["built"]) == ("now", "before")
    assert first["packages"] == {"six": "1.16.0", "pyarrow": first["packages"]["pyarrow"]}
    assert first["seconds"] > 0
    assert ask(first["interpreter"], "six.__version__", "six") == "1.16.0"
    assert {**first, "built": ""} == {**again, "built": ""}
    environment = Environment(requirements=["six==1.16.0"])
    assert find(environment, cached).path == first["interpreter"]  # a job finds it


def test_a_build_that_fails_by_command_says_why(tmp_path, cached):
    (tmp_path / "bad.txt").write_text("six==99.1\n")
    code, said = command("-f", tmp_path / "bad.txt")
    assert code == 1
    assert "ERROR: the environment could not be built: No solution found" in said


@pytest.mark.parametrize("args", [[], ["-f", "x.yml", "-n", "x"]], ids=["neither", "both"])
def test_a_build_takes_a_file_or_a_name(args):
    code, said = command(*args)
    assert code == 2
    assert "give --file or --name" in said
