"""Components and pipelines in Python: the same specs as in YAML, printed and read again."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal, Optional

import pytest
import yaml

from batch_endpoints import Input, Output, command_component, load_component, parallel_component, pipeline
from batch_endpoints.errors import SpecError
from batch_endpoints.processes.surroundings import FOR_STEPS
from batch_endpoints.specs import COMPONENT, Origins, check, load_yaml
from batch_endpoints.specs.yaml_text import parse_yaml

HERE = Path(__file__).parent
Folder = Annotated[Path, Input(type="uri_folder")]


def read(text):
    document, origins = parse_yaml(text, "printed.yml")
    return check(COMPONENT, document, where=origins)


@command_component
def prepare(
    measurements: Folder,
    clean: Annotated[Path, Output(type="uri_folder")],
    report: Annotated[Path, Output(type="uri_file", description="counts")],
    columns: str,
    limit: Annotated[int | None, Input(min=1, max=10)] = None,
    threshold: float = 13,
    strict: bool = False,
    how: Literal["mean", "median"] = "mean",
    encoding: Annotated[str, Input(enum=["a", "007"])] = "007",
    extra: Optional[Folder] = None,  # noqa: UP045 - as older code writes it
    uri: Annotated[str | None, Input(type="uri_file", mode="direct")] = None,
):
    """Clean
    the measurements.

    At length.
    """


PREPARE = f"""
type: command
name: prepare
description: Clean the measurements.
inputs:
  measurements: {{type: uri_folder}}
  columns: {{type: string}}
  limit: {{type: integer, optional: true, min: 1, max: 10}}
  threshold: {{type: number, default: 13}}
  strict: {{type: boolean, default: false}}
  how: {{type: string, enum: [mean, median], default: mean}}
  encoding: {{type: string, enum: [a, "007"], default: "007"}}
  extra: {{type: uri_folder, optional: true}}
  uri: {{type: uri_file, mode: direct, optional: true}}
outputs:
  clean: {{type: uri_folder}}
  report: {{type: uri_file, description: counts}}
code: {HERE}
command: >-
  python -m batch_endpoints_step test_authoring:prepare
  measurements:path=${{{{inputs.measurements}}}} clean:path=${{{{outputs.clean}}}} report:path=${{{{outputs.report}}}}
  columns:string=${{{{inputs.columns}}}} $[[limit:integer=${{{{inputs.limit}}}}]]
  threshold:number=${{{{inputs.threshold}}}} strict:boolean=${{{{inputs.strict}}}} how:string=${{{{inputs.how}}}}
  encoding:string=${{{{inputs.encoding}}}} $[[extra:path=${{{{inputs.extra}}}}]] $[[uri:string=${{{{inputs.uri}}}}]]
"""


@parallel_component(
    name="score", mini_batch_size=2, retry_settings={"max_retries": 1}, environment="azureml:a@latest"
)
def run(
    files: Annotated[list[str], Input(type="uri_folder")],
    plots: Annotated[Path, Output()],
    model: Folder,
    threshold: float = 0.5,
) -> Annotated[list[str], Output(type="uri_file")]:
    return [f"{file} {threshold}" for file in files]


SCORE = f"""
type: parallel
name: score
mini_batch_size: 2
retry_settings: {{max_retries: 1}}
inputs:
  files: {{type: uri_folder}}
  model: {{type: uri_folder}}
  threshold: {{type: number, default: 0.5}}
outputs:
  rows: {{type: uri_file}}
  plots: {{type: uri_folder}}
input_data: ${{{{inputs.files}}}}
task:
  type: run_function
  code: {HERE}
  entry_script: test_authoring.py
  environment: azureml:a@latest
  program_arguments: >-
    plots:path=${{{{outputs.plots}}}} model:path=${{{{inputs.model}}}} threshold:number=${{{{inputs.threshold}}}}
  append_row_to: ${{{{outputs.rows}}}}
"""


@pipeline(name="both", settings={"continue_on_step_failure": False})
def both(measurements: Folder, model: Folder, limit: int | None = None):
    prepared = prepare(measurements, columns="a b", limit=limit).set(name="clean", environment_variables={"A": "1"})
    scored = run(files=prepared.outputs.clean, model=model, threshold=0.25)
    return {"scores": scored.outputs["rows"], "counts": prepared.outputs.report}


@pytest.mark.parametrize(("component", "text"), [(prepare, PREPARE), (run, SCORE)], ids=["command", "parallel"])
def test_a_function_is_the_component_that_its_yaml_says(component, text):
    assert component.component == check(COMPONENT, yaml.safe_load(text))


def test_a_pipeline_is_the_component_that_its_yaml_says():
    text = {
        "type": "pipeline",
        "name": "both",
        "settings": {"continue_on_step_failure": False},
        "inputs": {
            "measurements": {"type": "uri_folder"},
            "model": {"type": "uri_folder"},
            "limit": {"type": "integer", "optional": True},
        },
        "outputs": {"scores": {"type": "uri_file"}, "counts": {"type": "uri_file"}},
        "jobs": {
            "clean": {
                "type": "command",
                "component": yaml.safe_load(PREPARE),
                "environment_variables": {"A": "1"},
                "inputs": {
                    "measurements": "${{parent.inputs.measurements}}",
                    "columns": "a b",
                    "limit": "${{parent.inputs.limit}}",
                },
                "outputs": {"report": "${{parent.outputs.counts}}"},
            },
            "score": {
                "type": "parallel",
                "component": yaml.safe_load(SCORE),
                "inputs": {
                    "files": "${{parent.jobs.clean.outputs.clean}}",
                    "model": "${{parent.inputs.model}}",
                    "threshold": 0.25,
                },
                "outputs": {"rows": "${{parent.outputs.scores}}"},
            },
        },
    }
    assert both.component == check(COMPONENT, text)


@command_component
def numbers(
    out: Annotated[Path, Output()], small: float = 1e-05, big: float = 1e300, whole: int = 10**17, no: str = "no"
):
    pass


@pipeline
def twice(measurements: Folder):
    first = prepare(measurements=measurements, columns="1.10")
    second = prepare(measurements=first.outputs.clean, columns="yes")
    other = numbers()
    inner = both(measurements=second.outputs.clean, model=other.outputs.out)
    return {"scores": inner.outputs.scores}


@pytest.mark.parametrize("component", [prepare, run, both, numbers, twice], ids=lambda one: one.__name__)
def test_what_is_printed_loads_to_the_same_spec(component):
    assert read(component.yaml()) == component.component
    assert load_component(yaml.safe_load(component.yaml())).component == component.component


def test_steps_are_named_by_their_components_and_numbered():
    assert list(twice.component.jobs) == ["prepare", "prepare_2", "numbers", "both"]
    assert twice.component.jobs["both"].component == both.component


def test_what_is_kept_in_a_folder_has_paths_relative_to_it():
    code, environment = "path: inputs are no paths", "env.yml"
    own = command_component(environment=environment, description=code)(numbers.function)
    assert own.document["environment"] == str(HERE / "env.yml")
    document = yaml.safe_load(own.yaml(folder=HERE.parent / "kept"))
    assert document["code"] == "../unit"
    assert document["environment"] == "../unit/env.yml"
    assert document["description"] == code


@pytest.fixture
def yaml_component(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "env.yml").write_text("name: env\nimage: x\n")
    (tmp_path / "count.yml").write_text(
        "type: command\nname: count\ncode: src\nenvironment: env.yml\n"
        "inputs: {data: {type: uri_folder}, level: {type: integer, default: 1}}\noutputs: {lines: }\n"
        "command: python count.py ${{inputs.data}} ${{inputs.level}} ${{outputs.lines}}\n"
    )
    return load_component(tmp_path / "count.yml")


def test_a_component_from_yaml_is_a_step_among_others(yaml_component, tmp_path):
    @pipeline
    def counted(measurements: Folder):
        prepared = prepare(measurements=measurements, columns="a")
        return {"lines": yaml_component(data=prepared.outputs.clean, level=2).outputs.lines}

    stated = load_yaml(COMPONENT, tmp_path / "count.yml")
    step = counted.component.jobs["count"]
    assert step.component.command == stated.command
    assert step.component.code == str(tmp_path / "src")
    assert step.component.environment.image == "x"
    assert step.inputs == {"data": "${{parent.jobs.prepare.outputs.clean}}", "level": 2}
    assert read(counted.yaml()) == counted.component


def test_local_data_of_a_step_becomes_an_absolute_path(tmp_path, monkeypatch):
    @pipeline
    def fixed():
        return {"clean": prepare(measurements="data", columns="a", extra="azureml:wines@latest").outputs.clean}

    monkeypatch.chdir(tmp_path)
    inputs = fixed.component.jobs["prepare"].inputs
    assert (inputs["measurements"].type, inputs["measurements"].path) == ("uri_folder", str(tmp_path / "data"))
    assert inputs["extra"].path == "azureml:wines@latest"


def test_outside_of_a_pipeline_a_component_is_the_function_that_it_is():
    assert run(["a", "b"], plots=None, model=None, threshold=2) == ["a 2", "b 2"]


def no_annotation(data, out: Annotated[Path, Output()]): ...
def bare_path(data: Path): ...
def not_a_port(data: dict): ...
def none_by_default(limit: int = None): ...  # noqa: RUF013
def without_default(limit: int | None): ...
def wrong_default(limit: int = "5"): ...
def true_as_number(limit: int = True): ...
def many(*data: Folder): ...
def data_with_default(data: Folder = Path("x")): ...
def output_with_default(out: Annotated[Path, Output()] = Path("x")): ...
def output_as_text(out: Annotated[str, Output()]): ...
def data_as_list(data: Annotated[list[str], Input(type="uri_folder")]): ...
def literal_and_data(limit: Annotated[int, Input(type="string")]): ...
def unknown_name(limit: "Nowhere"): ...  # noqa: F821
def wrong_range(limit: Annotated[int, Input(min=5)] = 3): ...
def wrong_type(data: Annotated[Path, Input(type="uri_foldr")]): ...


@pytest.mark.parametrize(
    ("function", "what", "mend"),
    [
        (no_annotation, "the parameter 'data' has no annotation", "Write str, int, float or bool"),
        (bare_path, "the parameter 'data' is of type Path", "Annotated[Path, Input(type='uri_folder')]"),
        (not_a_port, "the parameter 'data' is of type dict", "Write str, int"),
        pytest.param(
            none_by_default,
            "the parameter 'limit' has the default None",
            "| None = None",
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="typing makes it optional there"),
        ),
        (without_default, "the parameter 'limit' may be None and has no default", "| None = None"),
        (wrong_default, "the parameter 'limit' has the default '5', which is no int", ""),
        (true_as_number, "the parameter 'limit' has the default True, which is no int", ""),
        (many, "the parameter 'data' is none that can be an input by its name", "Make each input a parameter"),
        (data_with_default, "the parameter 'data' is data, and has a default", "optional"),
        (output_with_default, "the parameter 'out' is an output", "Leave the default"),
        (output_as_text, "the parameter 'out' is an output, and its annotation is str", "Annotated[Path, Output"),
        (data_as_list, "the parameter 'data' is data, and its annotation is list[str]", "Annotated[Path, Input"),
        (literal_and_data, "the parameter 'limit' is of type int, and its Input of type string", "Annotate str"),
        (unknown_name, "an annotation cannot be read: name 'Nowhere'", "Import what it names"),
        (wrong_range, "inputs.limit.default", ""),
        (wrong_type, "inputs.data.type", "uri_folder"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_a_component_is_an_error_with_its_place_and_its_fix(function, what, mend):
    with pytest.raises(SpecError) as raised:
        assert command_component(function).component
    text = str(raised.value)
    assert what in text
    assert mend in text
    assert "test_authoring.py" in text


def test_a_setting_that_does_not_exist_is_named_with_the_nearest_one():
    with pytest.raises(SpecError, match=r"test_authoring\.py.*unknown key 'enviroment_variables'; did you mean 'env"):
        assert command_component(enviroment_variables={})(prepare.function).component


def test_a_function_that_no_step_could_import_is_refused():
    def inner(limit: int): ...

    with pytest.raises(SpecError, match="'inner' is inside of something else"):
        assert command_component(inner).document
    namespace = {}
    exec(compile("def typed_in(limit: int): ...", "<stdin>", "exec"), namespace)
    with pytest.raises(SpecError, match="'typed_in' is in no file"):
        assert command_component(namespace["typed_in"]).document
    with pytest.raises(SpecError, match="'dump' is a parallel component, whose function has the name 'run'"):
        assert parallel_component(yaml.dump).document
    exec(compile("def isfile(limit: int): ...", os.path.abspath(os.__file__), "exec"), namespace)
    with pytest.raises(SpecError, match=r"'isfile' is among the installed packages"):
        assert command_component(namespace["isfile"]).document


def compose(body):
    def composed(measurements: Folder, limit: int = 1):
        return body(measurements, limit)

    return pipeline(composed)


def none_of(*steps):
    return {}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (lambda data, limit: prepare(measurments=data), "unexpected keyword argument 'measurments'"),
        (lambda data, limit: prepare(data, clean="x"), "step 'prepare' has no input 'clean'"),
        (
            lambda data, limit: prepare(data, columns="a").outputs.cleen,
            "has no output 'cleen'; did you mean 'clean'?",
        ),
        (
            lambda data, limit: prepare(prepare(data, columns="a"), columns="a"),
            "Give one of its outputs, such as pre",
        ),
        (lambda data, limit: none_of(prepare(data)), "columns"),
        (lambda data, limit: none_of(prepare(data, columns="a", limit=100)), "limit"),
        (lambda data, limit: none_of(prepare(limit, columns="a")), "measurements"),
        (
            lambda data, limit: prepare(data, columns="a") if limit else {},
            "has no value while the pipeline is composed",
        ),
        (lambda data, limit: {}, "pipeline 'composed' has no steps"),
        (lambda data, limit: prepare(data, columns="a"), "Return a dict of outputs by name"),
        (lambda data, limit: {"x": prepare(data, columns="a")}, "which is no output of one of its steps"),
        (
            lambda data, limit: none_of(
                prepare(data, columns="a").set(name="x"), prepare(data, columns="b").set(name="x")
            ),
            "pipeline 'composed' has two steps 'x'",
        ),
    ],
    ids=[
        *("argument", "output-given", "output", "whole-step", "missing", "range", "type", "if", "empty", "step"),
        *("dict-of-steps", "two-of-a-name"),
    ],
)
def test_a_pipeline_that_cannot_be_is_refused_by_name(body, what):
    with pytest.raises(SpecError) as raised:
        assert compose(body).component
    assert what in str(raised.value)


def test_an_output_is_returned_once():
    def body(data, limit):
        clean = prepare(data, columns="a").outputs.clean
        return {"one": clean, "two": clean}

    with pytest.raises(SpecError, match="returns one output of a step twice"):
        assert compose(body).document


def test_an_input_that_a_pipeline_does_not_have_is_refused_before_anything_is_sent():
    with pytest.raises(SpecError, match="pipeline 'both' has no input 'measurement'; did you mean 'measurements'"):
        both.run(measurement="x")


MODULE = """
from pathlib import Path
from typing import Annotated
from batch_endpoints import BatchEndpointsClient, Input, Output, command_component, load_component
from batch_endpoints import parallel_component, pipeline

other = load_component("nowhere.yml")

@command_component(name="x")
def write(
    data: Annotated[Path, Input(type="uri_folder")], out: Annotated[Path, Output()],
    text: str, limit: int = 0, share: float = 0, on: bool = False,
):
    print(repr((data, out, text, limit, share, on)))

@parallel_component
def run(files: "list[str]", limit: int, share: float = 0.5):
    return files, limit, share

@pipeline
def whole(data: Annotated[Path, Input(type="uri_folder")]):
    return write(data=data)
"""


@pytest.fixture
def without_package(tmp_path):
    """Runs Python in an interpreter that does not have the package, in a folder with the module."""
    (tmp_path / "steps.py").write_text(MODULE)

    def call(*arguments):
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(FOR_STEPS)}
        command = [sys.executable, "-S", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert "No module named" in call("-c", "import batch_endpoints").stderr
    return call


def test_a_command_runs_where_the_package_is_not_installed(without_package):
    words = ["data:path=/a b", "out:path=/o", "text:string=007=x:y", "limit:integer=5", "share:number=1e-05"]
    done = without_package("-m", "batch_endpoints_step", "steps:write", *words, "on:boolean=True")
    assert done.stdout == "(PosixPath('/a b'), PosixPath('/o'), '007=x:y', 5, 1e-05, True)\n", done.stderr


def test_a_parallel_function_gets_its_other_inputs_from_the_arguments(without_package):
    code = (
        "import inspect, sys, batch_endpoints_step as step; step.prepare_imports(); import steps;"
        "sys.argv[1:] = ['limit:integer=3', 'other']; print(steps.run(['a']), inspect.signature(steps.run))"
    )
    done = without_package("-c", code)
    assert done.stdout == "(['a'], 3, 0.5) (files: list[str])\n", done.stderr


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            "steps.whole.run()",
            "the pipeline 'whole' cannot be used while a step imports its module. Put what uses it",
        ),
        ("steps.other(data=1)", "a component that is loaded cannot be used while a step imports its module"),
        ("steps.BatchEndpointsClient()", "The step's environment has no batch_endpoints; add it there."),
    ],
)
def test_in_a_step_nothing_can_be_composed_or_run(without_package, use, message):
    done = without_package("-c", f"import batch_endpoints_step as step; step.prepare_imports(); import steps; {use}")
    assert message in done.stderr


def test_a_module_in_a_package_is_imported_from_the_folder_of_the_package(tmp_path, monkeypatch):
    (tmp_path / "package_of_steps" / "inner").mkdir(parents=True)
    for name in ("package_of_steps", "package_of_steps/inner"):
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "package_of_steps" / "inner" / "steps.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("package_of_steps.inner.steps")
    document = module.write.document
    assert document["code"] == str(tmp_path)
    assert " package_of_steps.inner.steps:write " in document["command"]
    inner = command_component(code="..")(module.write.function).document
    assert inner["code"] == str(tmp_path / "package_of_steps")
    assert " inner.steps:write " in inner["command"]


def test_the_origin_of_an_error_is_the_line_of_the_function():
    assert prepare.where == f"{__file__}:{prepare.function.__code__.co_firstlineno}"
    assert Origins(prepare.where).where == prepare.where
