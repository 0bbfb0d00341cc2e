"""What an environment asks for, decided without a machine: conda files, requirements, recorded environments."""

import pytest

from batch_endpoints.environments.build import last_words
from batch_endpoints.environments.conda import read_conda, specifier, to_pypi
from batch_endpoints.environments.plan import EnvironmentPlan, plan_environment, plan_recorded, states_interpreter
from batch_endpoints.environments.pythons import Python, choose_python, fits_but_for_patch, read_pythons, search_path
from batch_endpoints.environments.requirements import Installed, first_unmet, read_lines
from batch_endpoints.errors import EnvironmentFailed, SpecError
from batch_endpoints.specs import Environment

CONDA = {
    "channels": ["conda-forge"],
    "dependencies": ["python=3.8.5", "pip", "numpy=1.21.2", {"pip": ["six==1.16.0", "mlflow"]}],
}


def plan(has_conda=False, **environment):
    return plan_environment(Environment(**environment), has_conda=has_conda)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("", ""),
        ("=3.8", "==3.8.*"),
        ("=3.8.5", "==3.8.5.*"),
        ("==3.8.5", "==3.8.5"),
        ("3.8", "==3.8.*"),
        ("1.21.*", "==1.21.*"),
        ("=1.2=py38_0", "==1.2.*"),
        (">=1.2,<2", ">=1.2,<2"),
        (">= 1.2, < 2", ">=1.2,<2"),
        (">=3.8*", ">=3.8"),
        ("~=1.4", "~=1.4"),
        ("!=1.5.*", "!=1.5.*"),
        ("*", ""),
    ],
)
def test_versions_of_conda_become_those_of_pypi(version, expected):
    assert specifier(version, "p") == expected


@pytest.mark.parametrize("package", ["numpy=1.21|1.22", "numpy[version='>=1.2']", "numpy=abc", "@x"])
def test_a_conda_package_that_cannot_be_said_otherwise_is_refused_by_name(package):
    with pytest.raises(SpecError) as raised:
        to_pypi([package])
    assert package in str(raised.value)


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("scikit-learn=1.1.3", "scikit-learn==1.1.3.*"),
        ("conda-forge::PyTorch>=2", "torch>=2"),
        ("py-xgboost-cpu", "xgboost"),
        ("opencv=4.5", "opencv-python-headless==4.5.*"),
        ("matplotlib-base", "matplotlib"),
        ("pytables", "tables"),
    ],
)
def test_conda_packages_have_their_names_on_pypi(package, line):
    lines, (note,) = to_pypi([package])
    assert lines == (line,)
    assert note == f"there is no conda here: of the conda file, PyPI has to give {line}"


def test_what_wheels_bring_along_is_left_out_and_said():
    lines, notes = to_pypi(["cudatoolkit=11.1", "mkl", "libgcc-ng=9.3", "numpy"])
    assert lines == ("numpy",)
    assert "cudatoolkit, mkl, libgcc-ng" in notes[1]


@pytest.mark.parametrize("package", ["ffmpeg=4", "r-base", "libtiff", "openjdk"])
def test_a_conda_package_that_is_no_python_package_needs_conda(package):
    with pytest.raises(SpecError, match="not a Python package, and this machine has no conda or micromamba"):
        to_pypi([package])


def test_a_conda_file_gives_its_python_its_pip_list_and_its_other_packages():
    read = read_conda(CONDA)
    assert (read.python, read.pip) == ("==3.8.5.*", ("six==1.16.0", "mlflow"))
    assert (read.others, read.channels) == (("numpy=1.21.2",), ("conda-forge",))


def test_one_channel_may_stand_for_a_list_of_one():
    assert read_conda({**CONDA, "channels": "conda-forge"}).channels == ("conda-forge",)


def test_variables_of_a_conda_file_are_for_what_runs_and_build_nothing_anew():
    text = "dependencies: [python=3.10]\nvariables: {A: 1.10, B: b, C: }\n"
    found = plan(conda_file=text)
    assert found.variables == {"A": "1.10", "B": "b", "C": ""}
    assert found.key("") == plan(conda_file="dependencies: [python=3.10]").key("")


@pytest.mark.parametrize("variables", [["A=1"], {"A=B": 1}, {"A": "\0"}], ids=["a list", "a name", "a value"])
def test_variables_of_a_conda_file_that_cannot_be_set_are_refused(variables):
    with pytest.raises(SpecError, match="the conda file's"):
        read_conda({**CONDA, "variables": variables})


@pytest.mark.parametrize("dependencies", ["numpy", [{"pip": "six"}], [{"npm": ["x"]}]], ids=str)
def test_a_conda_file_of_another_shape_is_refused(dependencies):
    with pytest.raises(SpecError, match="conda file's"):
        read_conda({"dependencies": dependencies})


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"name": "c", "dependecies": ["numpy"]}, "the conda file has no 'dependencies'; it has: name, dependecies"),
        ({"dependencies": ["python"], "pip": ["six"]}, "the conda file's 'pip' stands beside its 'dependencies'"),
    ],
    ids=["no dependencies", "pip beside them"],
)
def test_what_a_conda_file_asks_for_in_a_wrong_place_is_not_passed_over(document, what):
    with pytest.raises(SpecError) as raised:
        read_conda(document)
    assert raised.value.what == what
    assert raised.value.mend


def test_other_packages_go_through_conda_where_there_is_one_and_to_pypi_otherwise():
    with_it, without = plan(has_conda=True, conda_file=CONDA), plan(conda_file=CONDA)

    assert (with_it.conda, with_it.channels, with_it.notes) == (("numpy=1.21.2",), ("conda-forge",), ())
    assert with_it.requirements == ("six==1.16.0", "mlflow")
    assert (without.conda, without.requirements) == ((), ("numpy==1.21.2.*", "six==1.16.0", "mlflow"))
    assert "no conda here" in without.notes[0]
    assert with_it.python == without.python == "==3.8.5.*"


@pytest.mark.parametrize("python", ["python=3.12", "python>=3.10", "pip"])
def test_environments_that_conda_makes_with_different_pythons_are_different_ones(python):
    of_3_10 = plan(has_conda=True, conda_file={"dependencies": ["python=3.10", "ffmpeg"]})
    other = plan(has_conda=True, conda_file={"dependencies": [python, "ffmpeg"]})
    assert of_3_10.key("3.11.7 /usr/bin/python3.11") != other.key("3.11.7 /usr/bin/python3.11")


def test_setuptools_and_wheel_of_a_conda_file_are_kept_for_packages_that_import_them():
    conda = {"dependencies": ["pip=21", "setuptools=58", "wheel"]}
    assert plan(conda_file=conda).build_dependencies == ("setuptools==58.*", "wheel")
    assert plan(has_conda=True, conda_file=conda).conda == ()  # they alone are no reason for conda
    assert plan(conda_file=conda).is_built

    conda["dependencies"].append("ffmpeg")
    assert plan(has_conda=True, conda_file=conda).conda == ("ffmpeg", "setuptools=58", "wheel")


def test_nothing_stated_is_nothing_to_build():
    assert plan() == EnvironmentPlan()
    assert not plan().is_built
    assert not plan(python="/usr/bin/python3").is_built
    assert plan(python="/usr/bin/python3", requirements=["six"]).is_built
    assert plan(conda_file={"dependencies": ["python=3.9"]}).is_built


@pytest.mark.parametrize(
    ("environment", "here"),
    [
        ({}, "the server's interpreter is used"),
        ({"conda_file": CONDA}, "its interpreter comes from the conda file"),
        ({"requirements": ["six"], "python": "/p"}, "its interpreter comes from the requirements and python"),
    ],
)
def test_an_image_is_for_compute_that_runs_containers(environment, here):
    assert plan(name="e", image="img", **environment).notes[0] == (
        f"environment 'e' has image, for compute that runs containers: here {here}"
    )


def test_an_image_alone_leaves_the_choice_to_what_is_recorded_with_the_model():
    environment = Environment(name="e", image="img")
    assert plan_environment(environment, has_conda=False, has_recorded=True).notes == (
        "environment 'e' has image, for compute that runs containers: here what is recorded with the model is used",
    )


@pytest.mark.parametrize(
    ("environment", "states"),
    [
        ({}, False),
        ({"image": "img", "build": {"path": "."}, "conda_file": ""}, False),
        ({"conda_file": CONDA, "image": "img"}, True),
        ({"requirements": []}, True),
        ({"python": "/p"}, True),
    ],
    ids=str,
)
def test_only_what_an_interpreter_can_be_made_of_states_one(environment, states):
    assert states_interpreter(Environment(**environment)) is states


def test_requirements_may_be_lines_or_the_text_of_a_file():
    text = "# what we need\nsix==1.16.0  # old\n\nnumpy \\\n  <2\n--extra-index-url https://x/simple\n"
    expected = ("six==1.16.0", "numpy <2", "--extra-index-url https://x/simple")
    assert plan(requirements=text).requirements == plan(requirements=text.splitlines()).requirements == expected


def test_a_conda_file_may_come_as_text():
    assert plan(conda_file="dependencies:\n- python=3.10\n").python == "==3.10.*"
    with pytest.raises(SpecError, match=r"'conda\.yml' of environment 'e' was not sent along"):
        plan(name="e", conda_file="conda.yml")


@pytest.mark.parametrize("line", ["-e .", "./wheels/a.whl", "wheels/a.whl", "../x", "-r more.txt", "-c limits.txt"])
def test_lines_that_name_files_nobody_sent_are_refused(line):
    with pytest.raises(SpecError, match=r"nodes do not have|not sent along"):
        plan(requirements=["six", line])


def test_a_file_that_includes_itself_is_refused():
    with pytest.raises(SpecError, match=r"includes the file 'a\.txt'"):
        read_lines(["-r a.txt"], {"a.txt": "-r a.txt"}, "it")


def test_the_key_follows_the_content_and_the_python_alone():
    one = plan(requirements=["six==1.16.0"])
    python = "3.11.7 /usr/bin/python3.11"

    assert one.key(python) == plan(name="other", image="img", requirements=["six==1.16.0"]).key(python)
    assert one.key(python) == plan(requirements="six==1.16.0\n").key(python)
    # on every machine and in every release of this layout, or all environments would be built anew
    assert one.key(python) == "0da32ebd6abaa135e2e2"
    others = [plan(requirements=["six==1.17.0"]).key(python), one.key("3.10.1 /usr/bin/python3.10")]
    assert len({one.key(python), *others}) == 3


RECORDED = {
    "python_env.yaml": (
        "python: 3.10.2\nbuild_dependencies:\n- pip==23.2.1\n- setuptools==58.1.0\n"
        "dependencies:\n- -r requirements.txt\n"
    ),
    "conda.yaml": "dependencies:\n- python=3.9.1\n- pip<=23\n- pip:\n  - mlflow==2.0\n",
    "requirements.txt": "mlflow==3.1\n-c constraints.txt\nnumpy==1.26.4\n",
    "constraints.txt": "scipy<1.12\n",
}


@pytest.mark.parametrize(
    ("files", "python", "requirements", "constraints"),
    [
        (RECORDED, "==3.10.2.*", ("mlflow==3.1", "numpy==1.26.4"), ("scipy<1.12",)),
        ({"conda.yaml": RECORDED["conda.yaml"]}, "==3.9.1.*", ("mlflow==2.0",), ()),
        ({"requirements.txt": "mlflow==3.1\n"}, "", ("mlflow==3.1",), ()),
    ],
    ids=["python_env", "conda", "requirements"],
)
def test_what_mlflow_recorded_is_read(files, python, requirements, constraints):
    recorded = plan_recorded(files, has_conda=False)
    assert (recorded.python, recorded.requirements, recorded.constraints) == (python, requirements, constraints)


def test_a_recorded_python_keeps_its_digits():
    assert plan_recorded({"python_env.yaml": "python: 3.10\n"}, has_conda=False).python == "==3.10.*"


def test_build_dependencies_that_mlflow_recorded_are_kept_but_for_pip():
    assert plan_recorded(RECORDED, has_conda=False).build_dependencies == ("setuptools==58.1.0",)


def test_a_model_with_nothing_recorded_has_no_plan():
    assert plan_recorded({}, has_conda=False) is None


INSTALLED = {
    "numpy": Installed("1.26.4"),
    "torch": Installed("2.1.0+cpu"),
    "beta": Installed("2.0rc1"),
    "uvicorn": Installed("0.30", ("click>=7", 'httptools>=0.6; extra == "standard"')),
    "click": Installed("8.1"),
}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("numpy==1.26.4", ""),
        ("numpy", ""),
        ("NumPy>=1.20,<2", ""),
        ("torch==2.1.0", ""),
        ("beta>=2.0rc1", ""),
        ("--extra-index-url https://x", ""),
        ("-i https://x", ""),
        ("pywin32==306; sys_platform == 'win32'", ""),
        ("uvicorn", ""),
        ("numpy==1.26.3", "numpy==1.26.3, where it has 1.26.4"),
        ("pandas>=1", "pandas>=1, which it has not"),
        ("uvicorn[standard]", "httptools>=0.6, which it has not"),
        ("x @ https://host/x.whl", "'x @ https://host/x.whl', of which nobody can tell whether it is there"),
        ("git+https://host/x", "'git+https://host/x', of which nobody can tell whether it is there"),
    ],
)
def test_requirements_are_held_against_what_is_installed(line, why):
    assert first_unmet(["click", line], lambda name: INSTALLED.get(name.lower())) == why


PYTHONS = [Python(v, f"/p/{v}") for v in ("3.7.9", "3.8.18", "3.10.2", "3.10.13", "3.12.1", "3.15.0b1")]


@pytest.mark.parametrize(
    ("asked", "version", "said"),
    [
        ("==3.10.*", "3.10.13", ""),
        ("==3.10.2", "3.10.2", ""),
        (">=3.8,<3.11", "3.10.13", ""),
        ("==3.8.5.*", "3.8.18", "Python 3.8.5 is not on this machine: 3.8.18, the nearest newer one, is used"),
        ("==3.9.*", "3.10.13", "Python 3.9 is not on this machine: 3.10.13, the nearest newer one, is used"),
        ("==3.7.*", "3.8.18", "Python 3.7 is not on this machine: 3.8.18, the nearest newer one, is used"),
        ("==3.12.4", "3.12.1", "Python 3.12.4 is not on this machine: 3.12.1, the nearest one, is used"),
    ],
)
def test_the_nearest_newer_python_stands_in_for_one_that_is_missing(asked, version, said):
    assert choose_python(asked, PYTHONS) == (Python(version, f"/p/{version}"), said)


@pytest.mark.parametrize("asked", ["==3.14.*", "==2.7.*", "<3.8"])
def test_a_python_without_a_stand_in_is_told_with_what_there_is(asked):
    with pytest.raises(EnvironmentFailed, match=r"is not on this machine, nor a newer one\nIt has 3\.8\.18, "):
        choose_python(asked, PYTHONS)


@pytest.mark.parametrize(
    ("asked", "fits"),
    [("==3.11.2.*", True), ("==3.11.9", True), ("", True), (">=3.9", True), ("==3.10.*", False), (">=3.12", False)],
)
def test_the_patch_level_of_the_server_does_not_matter(asked, fits):
    assert fits_but_for_patch(asked, "3.11.7") is fits


def test_pyenv_is_looked_at_behind_its_shims(tmp_path):
    for version in ("2.7.18", "3.8.18", "3.10.13"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)
    path = search_path({"PATH": f"{tmp_path}/shims:/usr/bin", "PYENV_ROOT": str(tmp_path)}, tmp_path / "home")
    assert path.split(":") == ["/usr/bin", f"{tmp_path}/versions/3.10.13/bin", f"{tmp_path}/versions/3.8.18/bin"]


def test_only_common_builds_of_cpython_are_taken():
    listed = """[{"version": "3.11.7", "path": "/a", "implementation": "cpython", "variant": "default"},
        {"version": "3.13.0", "path": "/b", "implementation": "cpython", "variant": "freethreaded"},
        {"version": "3.10.1", "path": "/c", "implementation": "pypy"}, {"version": "3.9.1", "path": null}]"""
    assert read_pythons(listed) == [Python("3.11.7", "/a")]


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (
            "Using Python 3.11.7 environment at: e\nerror: No solution found when resolving dependencies\n"
            "  cause: Because there is no version of six==99.1 and you require six==99.1, we can conclude.\n",
            "No solution found when resolving dependencies: Because there is no version of six==99.1 and you require"
            " six==99.1, we can conclude",
        ),
        (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because a was not\n      found, b.\n\n  hint: c",  # noqa: E501
            "No solution found when resolving dependencies: Because a was not found, b",
        ),
        (
            "error: Request failed after 3 retries\n  cause: Failed to fetch: https://pypi.org/simple/six/\n"
            "  cause: client error (Connect)\n  cause: Connection refused (os error 111)\n",
            "Request failed after 3 retries: Failed to fetch: https://pypi.org/simple/six/:"
            " Connection refused (os error 111)",
        ),
        (
            "error: The build backend returned an error\n  cause: Call to `x` failed (exit status: 1)\n\n"
            "         [stderr]\n         Traceback (most recent call last):\n"
            "         RuntimeError: libfoo is not installed\n\nhint: this",
            "The build backend returned an error: Call to `x` failed (exit status: 1):"
            " RuntimeError: libfoo is not installed",
        ),
        (
            "error: Couldn't parse requirement in `r.txt` at position 0\n  cause: no such comparison operator\n"
            "         six=1.16\n            ^^^^^\n",
            "Couldn't parse requirement in `r.txt` at position 0: no such comparison operator six=1.16",
        ),
        ("something else\nwent wrong\n", "something else went wrong"),
        ("", "it says nothing"),
    ],
    ids=["no solution", "older uv", "offline", "a build", "a wrong line", "another program", "silence"],
)
def test_the_headline_of_a_broken_build_is_in_the_words_of_uv(stderr, words):
    assert last_words(stderr) == words
