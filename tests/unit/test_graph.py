"""The graph of a pipeline: what is bound to what, in which order, and every way in which it can be wrong."""

import pytest

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.graph import GraphOutput, OfPipeline, OfStep, build_graph
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
