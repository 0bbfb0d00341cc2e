"""Interpreters for deployments, built for real with uv: once per machine, side by side, readable when it fails."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uv
from click.testing import CliRunner
from pythons_here import ask, needs

from batch_endpoints.cli import main
from batch_endpoints.environments.cache import Built, EnvironmentCache
from batch_endpoints.errors import EnvironmentFailed, SpecError
from batch_endpoints.planning.variables import for_user_code
from batch_endpoints.specs import Environment

SIX = Environment(requirements=["six==1.16.0"])
OF_THIS_PYTHON = Environment(conda_file={"dependencies": [f"python=3.{sys.version_info[1]}"]})
DAY = 24 * 3600.0


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
    said = [process.communicate(timeout=240)[0].split() for process in asking]

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


def test_build_dependencies_are_there_for_packages_that_import_them_unless_others_are_required(tmp_path, find):
    tools = "build_dependencies: [pip==21.0, setuptools==58.1.0, wheel==0.37.0]\n"

    found = find(None, tmp_path, {"python_env.yaml": f"{tools}dependencies: [setuptools>=60, six==1.15.0]\n"})

    assert found.built.packages["wheel"] == "0.37.0"
    assert int(found.built.packages["setuptools"].split(".")[0]) >= 60
    assert "pip" not in found.built.packages


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
    found = find(OF_THIS_PYTHON, tmp_path / "cache")

    assert found.built.packages == {}
    assert found.notes == (
        "tables cannot be given to the environment: it has no pyarrow, and none can be added to what it asks for",
    )


@needs(3, 8)
def test_a_python_that_is_missing_is_replaced_by_the_nearest_newer_one_and_said(tmp_path, find):
    found = find(Environment(conda_file={"dependencies": ["python=3.8.0", "pip"]}), tmp_path)

    assert found.built.version.startswith("3.8.")
    assert found.notes == (
        f"Python 3.8.0 is not on this machine: {found.built.version}, the nearest newer one, is used",
    )


LOOKS_AROUND = """
import os, pathlib
from setuptools import setup
pathlib.Path({seen!r}).write_text("\\n".join([str(pathlib.Path.home()), *sorted(os.environ)]))
setup(name="looks-around", version="1")
"""


def test_a_requirements_own_build_sees_no_variable_of_the_server_but_those_of_a_list(tmp_path, monkeypatch, find):
    for name in ("LAKE_KEY", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN_PATH", "UV_PUBLISH_TOKEN", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
    package, seen = tmp_path / "looks-around", tmp_path / "seen"
    package.mkdir()
    (package / "setup.py").write_text(LOOKS_AROUND.format(seen=str(seen)))

    find(Environment(requirements=[f"looks-around @ {package.as_uri()}"]), tmp_path / "cache")

    home, *names = seen.read_text().splitlines()
    assert not set(names) & {"LAKE_KEY", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN_PATH", "UV_PUBLISH_TOKEN"}
    unlisted = set(names) - set(for_user_code(os.environ))
    assert {name for name in unlisted if name in os.environ and not name.startswith(("UV_", "PYENV_"))} <= {"HOME"}
    assert home != str(Path.home())
    assert not Path(home).exists()


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


def test_conda_packages_recorded_with_a_model_go_through_it_too(tmp_path, micromamba, without_index, find):
    recorded = f"channels: [conda-forge]\ndependencies: [python=3.{sys.version_info[1]}, ffmpeg=6]\n"

    found = find(None, tmp_path / "cache", {"conda.yaml": recorded})

    assert (micromamba / "asked").read_text().endswith("ffmpeg=6\n")
    assert found.notes[0] == (
        "the model was recorded with the conda package 'ffmpeg=6', which conda has to install:"
        " an interpreter is built from what is recorded"
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


@pytest.mark.parametrize("environment", [None, OF_THIS_PYTHON], ids=["the server's interpreter", "one that is built"])
def test_whoever_asks_for_an_interpreter_removes_what_nobody_has_used_for_long(
    tmp_path, without_index, find, environment
):
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


def test_whoever_stops_waiting_leaves_what_another_one_is_building(tmp_path):
    class Stopped(BaseException):
        pass

    def stop(*_):
        raise Stopped

    (tmp_path / "a").mkdir()
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with (tmp_path / "a.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Stopped):
                EnvironmentCache(tmp_path).get("a", fake)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert (tmp_path / "a").is_dir()


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
