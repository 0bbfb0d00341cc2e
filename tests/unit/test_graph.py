"""The graph of a pipeline: what is bound to what, in which order, and every way in which it can be wrong."""

# ruff: noqa: E501 - tables of messages, a line each
import pytest

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.pipeline.graph import GraphOutput, OfPipeline, OfStep, build_graph
from batch_endpoints.planning.pipeline.graph_types import fits
from batch_endpoints.specs import PipelineComponent, check
from batch_endpoints.specs.invocation import JobInput
from batch_endpoints.specs.yaml_text import parse_yaml


def read(text, where="pipeline.yml"):
    document, origins = parse_yaml(text, where)
    return check(PipelineComponent, document, where=origins), origins


def graph(text):
    return build_graph(*read(text))


def problems(text):
    with pytest.raises(SpecError) as error:
        graph(text)
    return str(error.value).splitlines()


def literal(value):
    return JobInput(type="literal", value=value)


SCORING = """
type: pipeline
name: batch_scoring
inputs:
  input_data: {type: uri_folder}
  score_mode: {type: string, default: append}
outputs:
  scores: {type: uri_folder, mode: upload}
jobs:
  preprocess_job:
    type: command
    component:
      inputs:
        data: {type: uri_folder}
        transformations: {type: custom_model, optional: true}
        categorical_encoding: {type: string, optional: true, default: ordinal}
        seed: {type: integer, optional: true}
      outputs:
        prepared_data: {type: uri_folder}
        transformations_output: {type: custom_model}
      command: >-
        python prepare.py --data ${{inputs.data}} $[[--transformations ${{inputs.transformations}}]]
        $[[--encoding ${{inputs.categorical_encoding}}]] $[[--seed ${{inputs.seed}}]] --out ${{outputs.prepared_data}}
        --used ${{outputs.transformations_output}}
    inputs:
      data: ${{parent.inputs.input_data}}
      transformations:
        path: azureml:heart-transforms@latest
        type: custom_model
    outputs:
      prepared_data:
  score_job:
    type: command
    component:
      inputs: {model: {type: mlflow_model}, data: {type: uri_folder}, score_mode: {type: string}}
      outputs: {scores: {type: uri_folder}}
      command: python score.py ${{inputs.model}} ${{inputs.data}} ${{inputs.score_mode}} ${{outputs.scores}}
    inputs:
      data: ${{parent.jobs.preprocess_job.outputs.prepared_data}}
      model: {path: azureml:heart@latest, type: mlflow_model, mode: download}
      score_mode: ${{parent.inputs.score_mode}}
    outputs:
      scores:
        mode: upload
        path: ${{parent.outputs.scores}}
"""


def test_azures_scoring_pipeline_is_a_graph_of_two_steps():
    found = graph(SCORING)

    assert list(found.steps) == ["preprocess_job", "score_job"]
    prepare, score = found.steps.values()
    assert prepare.inputs == {
        "data": OfPipeline("input_data"),
        "transformations": JobInput(type="custom_model", path="azureml:heart-transforms@latest"),
        "categorical_encoding": literal("ordinal"),
    }
    assert prepare.outputs == {
        "prepared_data": GraphOutput("uri_folder"),
        "transformations_output": GraphOutput("custom_model"),
    }
    assert score.inputs == {
        "model": JobInput(type="mlflow_model", path="azureml:heart@latest"),
        "data": OfStep("preprocess_job", "prepared_data"),
        "score_mode": OfPipeline("score_mode"),
    }
    assert score.outputs == {"scores": GraphOutput("uri_folder", "upload")}
    assert score.modes == {"model": "download", "scores": "upload"}
    assert (prepare.after, score.after) == ((), ("preprocess_job",))
    assert found.outputs == {"scores": OfStep("score_job", "scores")}
    assert found.notes == ()


TWO = """
type: pipeline
inputs:
  raw: {type: uri_folder}
  limit: {type: integer, default: 3}
  note: {type: string, optional: true}
outputs: {scores: }
jobs:
  prepare:
    type: command
    component:
      inputs:
        raw: {type: uri_folder, mode: ro_mount}
        limit: {type: integer, min: 1, max: 9}
        kind: {type: string, enum: [a, b], default: a}
        note: {type: string, optional: true}
      outputs: {clean: , index: {type: uri_file}}
      command: p ${{inputs.raw}} ${{inputs.limit}} ${{inputs.kind}} $[[${{inputs.note}}]] ${{outputs.clean}} ${{outputs.index}}
    inputs:
      raw: ${{parent.inputs.raw}}
      limit: ${{parent.inputs.limit}}
      note: ${{parent.inputs.note}}
  score:
    type: command
    component:
      inputs: {clean: {type: uri_folder}}
      outputs: {scores: }
      command: s ${{inputs.clean}} ${{outputs.scores}}
    inputs:
      clean: ${{parent.jobs.prepare.outputs.clean}}
    outputs:
      scores: ${{parent.outputs.scores}}
"""


WRONG = [
    pytest.param("parent.inputs.raw}", "parent.inputs.rwa}", "'jobs.prepare.inputs.raw': the pipeline has no input 'rwa'; did you mean 'raw'?", id="unknown input of the pipeline"),
    pytest.param("jobs.prepare.outputs", "jobs.prepair.outputs", "'jobs.score.inputs.clean': there is no step 'prepair'; did you mean 'prepare'?", id="unknown step"),
    pytest.param("outputs.clean}}\n    outputs", "outputs.cleen}}\n    outputs", "'jobs.score.inputs.clean': step 'prepare' has no output 'cleen'; did you mean 'clean'?", id="unknown output of a step"),
    pytest.param("parent.outputs.scores", "parent.outputs.score", "'jobs.score.outputs.scores': the pipeline has no output 'score'; did you mean 'scores'?", id="unknown output of the pipeline"),
    pytest.param("      raw: ${{", "      rav: 1\n      raw: ${{", "'jobs.prepare.inputs.rav': the step has no input 'rav'; did you mean 'raw'?", id="unknown input of a step"),
    pytest.param("      raw: ${{parent.inputs.raw}}\n", "", "'jobs.prepare.inputs.raw': is missing: the step needs it (a folder (uri_folder))", id="missing input"),
    pytest.param("outputs.clean}}\n    outputs", "outputs.index}}\n    outputs", "'jobs.score.inputs.clean': a file (uri_file) does not fit the step's input, a folder (uri_folder); give both the same type", id="file for a folder"),
    pytest.param("raw: ${{parent.inputs.raw}}", "raw: ${{parent.inputs.limit}}", "'jobs.prepare.inputs.raw': a literal of type integer does not fit the step's input, a folder (uri_folder); give both the same type", id="literal for data"),
    pytest.param("limit: ${{parent.inputs.limit}}", "limit: ${{parent.inputs.note}}", "'jobs.prepare.inputs.limit': a literal of type string does not fit the step's input, a literal of type integer; give both the same type", id="text for a number"),
    pytest.param("limit: ${{parent.inputs.limit}}", "limit: 10", "'jobs.prepare.inputs.limit': expected at most 9, found 10", id="above max"),
    pytest.param("limit: ${{parent.inputs.limit}}", "limit: 0", "'jobs.prepare.inputs.limit': expected at least 1, found 0", id="below min, and falsy"),
    pytest.param("limit: ${{parent.inputs.limit}}", "limit: 1.5", "'jobs.prepare.inputs.limit': expected a whole number, found 1.5", id="fraction for an integer"),
    pytest.param("default: 3", "default: 12", "'jobs.prepare.inputs.limit': expected at most 9, found 12", id="default of the pipeline out of the step's range"),
    pytest.param("      raw: ${{", "      kind: c\n      raw: ${{", "'jobs.prepare.inputs.kind': expected one of 'a', 'b', found 'c'", id="none of the choices"),
    pytest.param("default: a}", "default: c}", "'jobs.prepare.component.inputs.kind.default': expected one of 'a', 'b', found 'c'", id="default none of the choices"),
    pytest.param("min: 1, max: 9", "min: 9, max: 1", "'jobs.prepare.component.inputs.limit.min': min is 9, more than max (1)", id="min above max"),
    pytest.param("note: {type: string, optional: true}\n      outputs", "note: {type: string}\n      outputs", "'jobs.prepare.inputs.note': is required, and the pipeline's input 'note' is optional and has no default; give one of them a default, or make this one optional", id="optional for required"),
    pytest.param("$[[${{inputs.note}}]]", "${{inputs.note}}", "'jobs.prepare.component.command': '${{inputs.note}}' is optional and has no default; write it as $[[ … ${{inputs.note}} … ]], which is left out where it has no value", id="optional outside of an optional part"),
    pytest.param("s ${{inputs.clean}}", "s ${{inputs.cleen}}", "'jobs.score.component.command': '${{inputs.cleen}}': there is no input 'cleen'; did you mean 'clean'?", id="unknown placeholder"),
    pytest.param("s ${{inputs.clean}}", "s ${{search_space.lr}}", "'jobs.score.component.command': '${{search_space.lr}}' is no placeholder; write ${{inputs.<input>}} or ${{outputs.<output>}}", id="no placeholder"),
    pytest.param("outputs: {scores: }\njobs", "outputs: {scores: , extra: }\njobs", "'outputs.extra': no step is bound to it; write ${{parent.outputs.extra}} at an output of a step", id="output that nothing is bound to"),
    pytest.param("      note: ${{parent.inputs.note}}\n", '      note: ${{parent.inputs.note}}\n    outputs: {clean: "${{parent.outputs.scores}}"}\n', "'jobs.score.outputs.scores': step 'prepare' is bound to the pipeline's output 'scores' already; give each an output of its own", id="two steps bound to one output"),
    pytest.param("      raw: ${{parent.inputs.raw}}\n", "      raw: ${{parent.jobs.score.outputs.scores}}\n", "'jobs.prepare.inputs': the steps wait for each other: prepare -> score -> prepare; take one of these bindings out", id="cycle"),
    pytest.param("      raw: ${{parent.inputs.raw}}\n", "      raw: ${{parent.outputs.scores}}\n", "'jobs.prepare.inputs.raw': an output of the pipeline cannot be read; write the step's: ${{parent.jobs.<step>.outputs.scores}}", id="reading an output of the pipeline"),
    pytest.param("raw: ${{parent.inputs.raw}}", "raw: ${{parent.input.raw}}", "'jobs.prepare.inputs.raw': '${{parent.input.raw}}' is no binding. Write ${{parent.inputs.<input>}}, ${{parent.jobs.<step>.outputs.<output>}} or, for a step's output, ${{parent.outputs.<output>}}.", id="misspelt binding"),
    pytest.param("raw: ${{parent.inputs.raw}}", "raw: x-${{parent.inputs.raw}}", "'jobs.prepare.inputs.raw': a binding is the whole value, and 'x-${{parent.inputs.raw}}' has something beside it. Write ${{parent.inputs.<input>}}, ${{parent.jobs.<step>.outputs.<output>}} or, for a step's output, ${{parent.outputs.<output>}}.", id="binding as a part of a value"),
    pytest.param("  score:\n    type: command", "  score:\n    type: parallel", "'jobs.score.type': the step is of type parallel, its component of type command", id="another type than the component's"),
    pytest.param("      command: s ${{", "      resources: {instance_count: 2}\n      command: s ${{", "'jobs.score.component.resources.instance_count': a command step runs on one node, and this asks for 2; spread the work with a parallel step, or set it to 1", id="several nodes"),
    pytest.param("      command: s ${{", "      distribution: {type: mpi}\n      command: s ${{", "'jobs.score.component.distribution.type': a command step is not distributed by mpi; use a parallel step, or pytorch with process_count_per_instance on one node", id="mpi"),
    pytest.param("  score:\n", "  sco.re:\n", "'jobs.sco.re': 'sco.re' is no name of a step: expected letters, digits, '_' and '-', with a letter first", id="name of a step"),
    pytest.param("  score:\n    type: command\n", "  tune:\n    type: sweep\n    trial: azureml:t:1\n  score:\n    type: command\n", "'jobs.tune.type': steps of type 'sweep' do not run here; write the trial as a command step, and a step for each set of values", id="sweep"),
    pytest.param("  score:\n    type: command\n", "  more:\n    compute: gpu\n  score:\n    type: command\n", "'jobs.more': the step has nothing to run; give a component (component: ./file.yml or azureml:<name>@latest), a command, a task or jobs", id="nothing to run"),
    pytest.param("    inputs:\n      clean:", "    limits: {timeout: soon}\n    inputs:\n      clean:", "'jobs.score.limits.timeout': Input should be a valid integer, unable to parse string as an integer; a command step's limits are {timeout: <seconds>}", id="limits"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), WRONG)
def test_a_problem_is_reported_with_line_key_and_fix(old, new, expected):
    assert old in TWO
    text = TWO.replace(old, new, 1)

    places = dict(reversed(problem.split(": ", 1)) for problem in problems(text))

    assert expected in places
    line = int(places[expected].removeprefix("pipeline.yml:"))
    key = expected.split("'")[1].split(".")
    assert any(part in text.splitlines()[line - 1] for part in key[-2:])


@pytest.mark.parametrize("kind", ["spark", "automl", "data_transfer"])
def test_kinds_of_steps_that_do_not_run_here_are_refused_by_name(kind):
    with pytest.raises(SpecError, match=f"steps of type '{kind}' do not run here; "):
        read(f"type: pipeline\njobs: {{one: {{type: {kind}, entry: x}}}}")


def test_all_problems_are_reported_at_once():
    text = TWO.replace("parent.inputs.raw}", "parent.inputs.rwa}").replace(
        "outputs.clean}}\n    outputs", "outputs.x}}\n    outputs"
    )

    assert len(problems(text)) == 2


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        pytest.param("string", "007", "007", id="zeros"),
        pytest.param("string", "1e5", "1e5", id="exponent"),
        pytest.param("string", "1.10", "1.10", id="a version"),
        pytest.param("string", "yes", "yes", id="yes"),
        pytest.param("string", "true", "true", id="true as text"),
        pytest.param("string", '""', "", id="no text"),
        pytest.param("string", "12", "12", id="digits"),
        pytest.param("integer", "007", 7, id="integer with zeros"),
        pytest.param("integer", '"12"', 12, id="integer as text"),
        pytest.param("integer", "0", 0, id="zero"),
        pytest.param("integer", "123456789012345678901234567890", "123456789012345678901234567890", id="all digits"),
        pytest.param("integer", "9007199254740993", 9007199254740993, id="beyond a double"),
        pytest.param("number", "1e5", 100000.0, id="number with an exponent"),
        pytest.param("number", "3", 3, id="whole number"),
        pytest.param("number", "0.1", 0.1, id="fraction"),
        pytest.param("boolean", "yes", True, id="yes as a boolean"),
        pytest.param("boolean", '"False"', False, id="false as text"),
        pytest.param("boolean", "false", False, id="false"),
    ],
)
def test_the_declared_type_of_a_literal_wins(kind, written, value):
    found = graph(f"""
type: pipeline
jobs:
  one:
    component:
      inputs: {{x: {{type: {kind}}}, y: {{type: {kind}, default: {written}}}}}
      command: echo ${{{{inputs.x}}}}
    inputs:
      x: {written}
""")

    step = found.steps["one"]
    assert (step.inputs["x"], type(step.inputs["x"].value)) == (literal(value), type(value))
    assert step.inputs["y"] == literal(value)


NESTED = """
type: pipeline
inputs: {raw: {type: uri_folder}, limit: {type: integer, optional: true}}
outputs: {out: }
jobs:
  prepare:
    type: pipeline
    compute: azureml:gpus
    environment_variables: {A: outer, B: outer}
    component:
      type: pipeline
      inputs: {data: {type: uri_folder}, limit: {type: integer, default: 5, optional: true}, n: {type: integer, default: 2}}
      outputs: {clean: }
      jobs:
        clean:
          environment_variables: {B: inner}
          component:
            inputs: {data: {type: uri_folder}, limit: {type: integer, optional: true}, n: {type: number}}
            outputs: {clean: }
            command: c ${{inputs.data}} $[[${{inputs.limit}}]] ${{inputs.n}} ${{outputs.clean}}
          inputs: {data: "${{parent.inputs.data}}", limit: "${{parent.inputs.limit}}", n: "${{parent.inputs.n}}"}
          outputs: {clean: "${{parent.outputs.clean}}"}
    inputs: {data: "${{parent.inputs.raw}}", limit: "${{parent.inputs.limit}}"}
  clean:
    type: command
    command: f ${{inputs.x}} ${{outputs.out}}
    inputs: {x: {path: "${{parent.jobs.prepare.outputs.clean}}", mode: download}}
    outputs: {out: "${{parent.outputs.out}}"}
"""


def test_nested_pipelines_are_flattened_with_their_defaults():
    found = graph(NESTED)

    inner, last = found.steps["prepare.clean"], found.steps["clean"]
    assert inner.inputs == {"data": OfPipeline("raw"), "limit": OfPipeline("limit"), "n": literal(2)}
    assert inner.component.inputs["limit"].default == 5  # where the job has no value for it
    assert inner.environment_variables == {"A": "outer", "B": "inner"}
    assert (inner.compute, last.compute) == ("azureml:gpus", "")
    assert last.inputs == {"x": OfStep("prepare.clean", "clean")}
    assert (last.after, last.modes) == (("prepare.clean",), {"x": "download"})
    assert last.component.inputs["x"].type == "uri_folder"
    assert found.outputs == {"out": OfStep("clean", "out")}


def test_a_problem_in_a_nested_pipeline_has_its_key_in_the_document():
    assert problems(NESTED.replace("default: 2", "default: 2.5")) == [
        "pipeline.yml:12: 'jobs.prepare.component.inputs.n.default': expected a whole number, found 2.5"
    ]


def test_steps_run_after_those_they_read_from_and_otherwise_in_the_order_of_the_document():
    step = "{command: 'x ${{inputs.i}}', inputs: {i: '${{parent.jobs.%s.outputs.o}}'}, outputs: {o: }}"
    first = "{command: x, outputs: {o: }}"
    found = graph(
        f"type: pipeline\njobs:\n  d: {step % 'b'}\n  c: {step % 'a'}\n  b: {step % 'a'}\n  a: {first}\n  z: {first}\n"
    )

    assert list(found.steps) == ["a", "z", "c", "b", "d"]


def test_what_a_step_states_wins_over_its_component():
    found = graph("""
type: pipeline
settings: {default_compute: cpus}
jobs:
  one:
    type: command
    environment: {requirements: [numpy]}
    resources: {properties: {num_cpus: 2}}
    limits: {timeout: 60}
    retry_settings: {max_retries: 2}
    environment_variables: {A: step}
    services: {ui: {type: jupyter_lab}}
    component:
      command: echo
      environment: {requirements: [pandas]}
      resources: {instance_type: big, properties: {num_cpus: 1, memory: 1GB}}
      limits: {timeout: 10}
      retry_settings: {max_retries: 1, timeout: 30}
      environment_variables: {A: component, B: component}
""")

    step = found.steps["one"]
    assert step.component.environment.requirements == ["numpy"]
    assert step.component.resources.properties == {"num_cpus": 2, "memory": "1GB"}
    assert step.component.resources.instance_type == "big"
    assert (step.timeout, step.retry_settings.max_retries, step.retry_settings.timeout) == (60, 2, 30)
    assert step.environment_variables == {"A": "step", "B": "component"}
    assert step.compute == "cpus"
    assert found.notes == ("step 'one': services is kept, and has no effect here",)


def test_a_parallel_step_in_place_is_a_component():
    found = graph("""
type: pipeline
inputs: {files: {type: uri_folder}}
outputs: {rows: {type: uri_file}}
jobs:
  score:
    type: parallel
    mini_batch_size: 5
    retry_settings: {max_retries: 2, timeout: 60}
    input_data: ${{inputs.files}}
    inputs: {files: "${{parent.inputs.files}}"}
    outputs: {rows: {type: uri_file, path: "${{parent.outputs.rows}}"}}
    task:
      type: run_function
      code: src
      entry_script: score.py
      program_arguments: --x ${{inputs.files}}
      append_row_to: ${{outputs.rows}}
""")

    step = found.steps["score"]
    assert (step.component.type, step.component.mini_batch_size) == ("parallel", 5)
    assert step.component.retry_settings == {"max_retries": 2, "timeout": 60}
    assert step.outputs == {"rows": GraphOutput("uri_file")}


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        pytest.param(
            "      clean: ${{parent.jobs.prepare.outputs.clean}}", "      clean: file:///data",
            "step 'prepare': no step reads its outputs, and none is an output of the pipeline", id="unused step",
        ),
        pytest.param(
            "      limit: ${{parent.inputs.limit}}", "      limit: 3", "no step reads the pipeline's input 'limit'",
            id="unused input",
        ),
        pytest.param(
            "scores: ${{parent.outputs.scores}}", "scores: {path: '${{parent.outputs.scores}}', name: kept}",
            "step 'score': the output 'scores' is not registered as 'kept'", id="name of an output",
        ),
    ],
)  # fmt: skip
def test_what_is_no_error_is_a_note(old, new, note):
    assert graph(TWO.replace(old, new)).notes == (note,)


FITS = [
    ("uri_folder", "uri_folder", True), ("mlflow_model", "uri_folder", True), ("uri_folder", "mlflow_model", True),
    ("mltable", "uri_folder", True), ("custom_model", "uri_folder", True), ("uri_file", "custom_model", True),
    ("uri_file", "uri_folder", False), ("uri_folder", "uri_file", False), ("uri_file", "mltable", False),
    ("uri_file", "mlflow_model", False), ("integer", "number", True), ("number", "integer", False),
    ("boolean", "string", True), ("string", "number", False), ("string", "uri_file", False),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted", "expected"), FITS, ids=lambda value: str(value))
def test_files_fit_files_and_folders_folders(given, wanted, expected):
    assert fits(given, wanted) is expected


def test_an_output_in_place_has_the_type_of_the_pipelines_output_that_it_is_bound_to():
    made = graph("""
type: pipeline
outputs: {text: {type: uri_file}}
jobs:
  write: {command: "echo 1 > ${{outputs.o}}", outputs: {o: "${{parent.outputs.text}}"}}
""")
    assert made.steps["write"].outputs["o"].type == "uri_file"


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ("{n: {type: integer, max: 10, default: 50}}", "'inputs.n.default': "),
        ("{a-b: {type: integer}}", "'inputs.a-b': 'a-b' is no name of an input or output"),
    ],
    ids=["range", "name"],
)
def test_the_inputs_of_the_whole_pipeline_are_checked(inputs, problem):
    assert problem in problems(f"type: pipeline\ninputs: {inputs}\njobs: {{one: {{command: 'true'}}}}")[0]


PARALLEL = """type: pipeline
jobs:
  score:
    type: parallel
    inputs: {data: {type: uri_folder, path: "file:///data"}}
    outputs: {rows: {type: uri_file}}
    input_data: ${{inputs.data}}
    mini_batch_size: 10
    retry_settings: {max_retries: 1}
    logging_level: info
    task:
      type: run_function
      entry_script: score.py
      append_row_to: ${{outputs.rows}}
"""


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        ("max_retries: 1", "max_retires: 1", "retry_settings.max_retires", "did you mean 'max_retries'?"),
        ("mini_batch_size: 10", "mini_batch_size: 10 zz", "mini_batch_size", "found '10 zz'"),
        ("level: info", "level: loud", "logging_level", "found 'loud'"),
        ("type: run_function", "type: model", "task.type", "'model' is not supported"),
        ("      append_row_to: ${{outputs.rows}}\n", "", "outputs.rows", "which many mini-batches would write"),
    ],
    ids=lambda value: "",
)
def test_what_is_wrong_with_a_parallel_step_is_reported_with_line_and_key(old, new, key, problem):
    assert old in PARALLEL
    (found,) = problems(PARALLEL.replace(old, new))
    place, shown_key, text = found.split(": ", 2)
    assert place.startswith("pipeline.yml")
    assert shown_key == f"'jobs.score.{key}'"
    assert problem in text
