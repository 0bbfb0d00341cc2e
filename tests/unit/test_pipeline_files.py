"""Pipelines and jobs as files on a client, in the shapes of Azure ML's examples."""

from pathlib import Path

import pytest

from batch_endpoints.client.job_files import job_document
from batch_endpoints.client.pipeline_files import check_components, check_job_file
from batch_endpoints.client.wire import Place, with_uploads
from batch_endpoints.errors import InputError, SpecError
from batch_endpoints.planning.pipeline.derived_component import with_types_of_ports
from batch_endpoints.planning.pipeline.graph import OfPipeline, OfStep, build_graph
from batch_endpoints.specs import (
    COMPONENT,
    DEPLOYMENT,
    JobInput,
    JobOutput,
    check,
    read_yaml_with_origins,
    to_document,
)
from batch_endpoints.specs.job_file import as_pipeline

PREPARE = """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
name: heart_prepare
type: command
inputs:
  data:
    type: uri_folder
  transformations:
    type: custom_model
    optional: true
  encoding:
    type: string
    optional: true
    default: ordinal
outputs:
  prepared_data:
    type: uri_folder
  transformations_output:
    type: custom_model
code: src
environment: ../../environment/env.yml
command: >-
  python prepare.py
  --data ${{inputs.data}}
  $[[--transformations ${{inputs.transformations}}]]
  $[[--encoding ${{inputs.encoding}}]]
  --out ${{outputs.prepared_data}}
  --used ${{outputs.transformations_output}}
"""
TRAIN = """
name: heart_train
type: command
inputs:
  data: {type: uri_folder}
  target_column: {type: string}
  register: {type: boolean, default: false}
  eval_size: {type: number, default: 0.3, min: , max: 1}
outputs:
  model: {type: mlflow_model}
  evaluation_results: {type: uri_folder}
code: src
environment: ../../environment/env.yml
command: >-
  python train.py --data ${{inputs.data}} --target ${{inputs.target_column}} --register ${{inputs.register}}
  --eval ${{inputs.eval_size}} --model ${{outputs.model}} --results ${{outputs.evaluation_results}}
"""
TRAINING = """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json
type: pipeline
name: heart-train-pipeline
inputs:
  input_data:
    type: uri_folder
outputs:
  model:
    type: mlflow_model
    mode: upload
  evaluation_results:
    type: uri_folder
    mode: upload
  prepare_transformations:
    type: uri_folder
    mode: upload
jobs:
  preprocess_job:
    type: command
    component: ../components/prepare/prepare.yml
    inputs:
      data: ${{parent.inputs.input_data}}
      encoding: ordinal
    outputs:
      prepared_data:
      transformations_output: ${{parent.outputs.prepare_transformations}}
  train_job:
    type: command
    component: ../components/train/train.yml
    inputs:
      data: ${{parent.jobs.preprocess_job.outputs.prepared_data}}
      target_column: target
      register: false
      eval_size: 0.25
    outputs:
      model:
        mode: upload
        type: mlflow_model
        path: ${{parent.outputs.model}}
      evaluation_results:
        mode: upload
        type: uri_folder
        path: ${{parent.outputs.evaluation_results}}
"""
FILES = {
    "components/prepare/prepare.yml": PREPARE,
    "components/prepare/src/prepare.py": "print()",
    "components/train/train.yml": TRAIN,
    "components/train/src/train.py": "print()",
    "environment/env.yml": "name: sklearn\nimage: python\nconda_file: conda.yml\n",
    "environment/conda.yml": "dependencies: [python=3.11]\n",
    "deployment/pipeline.yml": TRAINING,
    "deployment/deployment.yml": "name: train\nendpoint_name: heart\ntype: pipeline\ncomponent: pipeline.yml\n"
    "settings:\n    continue_on_step_failure: false\n    default_compute: batch-cluster\n",
    "deployment/pipeline-job.yml": "type: pipeline\nexperiment_name: heart\ndisplay_name: train-job\n"
    "compute: azureml:batch-cluster\ncomponent: pipeline.yml\ninputs:\n  input_data:\n    type: uri_folder\n"
    "    path: ../data\noutputs:\n  model:\n    type: mlflow_model\n    mode: upload\n  evaluation_results:\n"
    "    type: uri_folder\n    mode: upload\n  prepare_transformations:\n    mode: upload\n",
    "data/heart.csv": "age\n1\n",
}


@pytest.fixture
def files(tmp_path):
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def sent(file, spec=None):
    """What a client sends for a file, with file URIs in place of uploads."""
    document, origins = read_yaml_with_origins(Path(file))
    if spec is not None:
        document = to_document(check(spec, document, where=origins))
    place = Place(Path(file).parent, origins)
    (check_job_file if spec is None else check_components)(document, place)
    return with_uploads(document, place, lambda path, skip: path.resolve().as_uri())


def test_azures_training_pipeline_is_read_with_all_its_files(files):
    document = sent(files / "deployment" / "pipeline.yml", COMPONENT)

    graph = build_graph(check(COMPONENT, document))
    prepare, train = graph.steps.values()
    assert prepare.component.code == (files / "components" / "prepare" / "src").as_uri()
    assert prepare.component.environment.conda_dependencies == {"dependencies": ["python=3.11"]}
    assert train.inputs["data"] == OfStep("preprocess_job", "prepared_data")
    assert [train.inputs[name].value for name in ("target_column", "register", "eval_size")] == [
        "target",
        False,
        0.25,
    ]
    assert graph.outputs == {
        "model": OfStep("train_job", "model"),
        "evaluation_results": OfStep("train_job", "evaluation_results"),
        "prepare_transformations": OfStep("preprocess_job", "transformations_output"),
    }
    assert graph.notes == ()


def test_a_deployment_names_a_pipeline_that_names_components(files):
    deployed = check(DEPLOYMENT, sent(files / "deployment" / "deployment.yml", DEPLOYMENT))

    assert list(build_graph(deployed.component).steps) == ["preprocess_job", "train_job"]


def test_a_job_file_names_a_pipeline_and_local_data(files):
    asked = as_pipeline(sent(files / "deployment" / "pipeline-job.yml"))

    assert asked.inputs == {"input_data": JobInput(type="uri_folder", path=(files / "data").as_uri())}
    assert asked.outputs["model"] == JobOutput(type="uri_folder", mode="upload")
    assert (asked.settings.default_compute, asked.experiment_name) == ("azureml:batch-cluster", "heart")
    assert list(build_graph(asked.component).steps) == ["preprocess_job", "train_job"]


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        pytest.param(
            "deployment/pipeline.yml", "outputs.prepared_data", "outputs.prepared",
            "deployment/pipeline.yml:32: 'jobs.train_job.inputs.data': step 'preprocess_job' has no output "
            "'prepared'; did you mean 'prepared_data'?", id="a binding",
        ),
        pytest.param(
            "components/train/train.yml", "${{inputs.data}}", "${{inputs.dat}}",
            "components/train/train.yml:14: 'jobs.train_job.component.command': '${{inputs.dat}}': there is no input "
            "'dat'; did you mean 'data'?", id="a placeholder in a file that is named",
        ),
        pytest.param(
            "components/train/train.yml", "default: 0.3", "default: 3",
            "components/train/train.yml:8: 'jobs.train_job.component.inputs.eval_size.default': expected at most 1, "
            "found 3", id="a default in a file that is named",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole", ["pipeline.yml", "deployment.yml"])
def test_a_problem_is_reported_with_the_file_and_line_it_is_in(files, whole, name, old, new, expected):
    (files / name).write_text(FILES[name].replace(old, new))

    with pytest.raises(SpecError) as caught:
        sent(files / "deployment" / whole, DEPLOYMENT if whole == "deployment.yml" else COMPONENT)

    places = str(caught.value).splitlines()
    assert [line.replace(f"{files}/deployment/../", f"{files}/") for line in places] == [f"{files}/{expected}"]


def test_a_file_that_is_not_there_is_reported_with_the_line_that_names_it(files):
    (files / "components" / "train" / "src" / "train.py").unlink()
    (files / "components" / "train" / "src").rmdir()

    with pytest.raises(InputError, match=r"train\.yml:12: 'code': there is no '.*/components/train/src'"):
        sent(files / "deployment" / "pipeline.yml", COMPONENT)


def test_a_file_that_names_itself_is_refused(files):
    (files / "deployment" / "loop.yml").write_text(
        "type: pipeline\njobs: {a: {type: pipeline, component: loop.yml}}\n"
    )

    with pytest.raises(
        SpecError, match=r"loop\.yml:2: 'jobs\.a\.component': a file in itself: loop\.yml -> loop\.yml"
    ):
        sent(files / "deployment" / "loop.yml", COMPONENT)


def test_a_pipeline_job_in_place_takes_types_from_what_reads_its_inputs(files):
    (files / "job.yml").write_text("""
type: pipeline
inputs:
  raw: {type: uri_folder, path: ./data}
  code: 007
  size: 0.50
outputs: {model: }
jobs:
  one:
    command: x ${{inputs.raw}} ${{inputs.code}} ${{inputs.size}} ${{outputs.model}}
    inputs: {raw: "${{parent.inputs.raw}}", code: "${{parent.inputs.code}}", size: "${{parent.inputs.size}}"}
    outputs: {model: {type: mlflow_model, path: "${{parent.outputs.model}}"}}
  two:
    component:
      inputs: {size: {type: number, max: 1}}
      command: x ${{inputs.size}}
    inputs: {size: "${{parent.inputs.size}}"}
""")

    asked = as_pipeline(sent(files / "job.yml"))

    assert asked.in_place
    assert asked.inputs["code"].value == "007"
    assert asked.inputs["raw"].path == (files / "data").as_uri()
    assert asked.component.inputs["size"].type == "string"


def test_the_type_of_a_literal_is_that_of_the_step_that_reads_it():
    asked = as_pipeline(
        {
            "type": "pipeline",
            "inputs": {"size": "0.50"},
            "jobs": {
                "two": {
                    "component": {
                        "inputs": {"size": {"type": "number", "max": 1}}, "command": "x ${{inputs.size}}",
                    },
                    "inputs": {"size": "${{parent.inputs.size}}"},
                }
            },
        }
    )  # fmt: skip

    typed = with_types_of_ports(asked.component)

    assert (typed.inputs["size"].type, typed.inputs["size"].max) == ("number", 1)
    assert build_graph(typed).steps["two"].inputs == {"size": OfPipeline("size")}


def test_a_command_job_is_a_pipeline_of_one_step(files):
    (files / "src").mkdir()
    (files / "job.yml").write_text("""
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
command: python main.py ${{inputs.data}} ${{inputs.rate}} ${{outputs.model}}
code: src
environment: environment/env.yml
environment_variables: {A: 1}
compute: azureml:cpus
display_name: one
inputs:
  data: {type: uri_file, path: data/heart.csv}
  rate: 0.1
outputs:
  model:
limits: {timeout: 60}
services: {ui: {type: jupyter_lab}}
""")

    asked = as_pipeline(sent(files / "job.yml"))

    graph = build_graph(asked.component)
    step = graph.steps["command"]
    assert step.inputs == {"data": OfPipeline("data"), "rate": OfPipeline("rate")}
    assert (step.timeout, step.environment_variables) == (60, {"A": "1"})
    assert step.component.code == (files / "src").as_uri()
    assert graph.outputs == {"model": OfStep("command", "model")}
    assert asked.inputs == {
        "data": JobInput(type="uri_file", path=(files / "data" / "heart.csv").as_uri()),
        "rate": JobInput(type="literal", value=0.1),
    }
    assert asked.settings.default_compute == "azureml:cpus"
    assert graph.notes == ("step 'command': services is kept, and has no effect here",)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param({"type": "pipeline"}, "expected one of component and jobs", id="nothing to run"),
        pytest.param({"type": "command"}, "'command' is missing", id="no command"),
        pytest.param({"command": "x", "comand": 1}, "unknown key 'comand'; did you mean 'command'?", id="misspelt"),
        pytest.param(
            {"type": "pipeline", "component": {"command": "x"}}, "expected a pipeline component", id="no pipeline"
        ),
        pytest.param({"command": "x", "inputs": {"a": {"default": 1, "value": 2}}}, "leave one out", id="two values"),
    ],
)
def test_a_job_file_that_is_none_is_refused(document, expected):
    with pytest.raises(SpecError, match=expected):
        as_pipeline(document)


def test_a_problem_in_a_command_job_has_its_line(files):
    (files / "job.yml").write_text("code: data\ncommand: x ${{inputs.dat}}\ninputs: {data: 1}\n")

    with pytest.raises(SpecError, match=r"job\.yml:2: .*there is no input 'dat'; did you mean 'data'"):
        sent(files / "job.yml")


class ServerOnThisMachine:
    """A connection over which nothing is sent."""

    def on_the_servers_machine(self):
        return True


def test_the_data_of_a_job_is_read_in_place_by_a_server_on_this_machine(files):
    (files / "job.yml").write_text("command: x ${{inputs.data}}\ninputs: {data: {type: uri_folder, path: data}}\n")

    document = job_document(ServerOnThisMachine(), files / "job.yml", {})

    assert document["inputs"]["data"]["path"] == (files / "data").as_uri()


def test_a_job_that_cannot_run_is_refused_before_anything_is_sent(files):
    (files / "job.yml").write_text("code: data\ncommand: x ${{inputs.dat}}\ninputs: {data: 1}\n")

    with pytest.raises(SpecError, match=r"job\.yml:2: .*there is no input 'dat'; did you mean 'data'"):
        job_document(ServerOnThisMachine(), files / "job.yml", {})
