import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from batch_endpoints.errors import SpecError
from batch_endpoints.specs import (
    COMPONENT,
    DEPLOYMENT,
    BatchEndpoint,
    CommandComponent,
    Compute,
    Data,
    Datastore,
    Environment,
    Invocation,
    JobInput,
    JobOutput,
    Model,
    ModelDeployment,
    ModelDeploymentSettings,
    ParallelComponent,
    PipelineComponent,
    PipelineComponentDeployment,
    RetrySettings,
    check,
    compute_name,
    datastore_path,
    dump_yaml,
    parse_reference,
    to_document,
)
from batch_endpoints.specs.yaml_text import parse_yaml

ENDPOINT = """
name: heart
description: Heart disease
tags: {team: cardio, year: 2024}
properties: {a: b}
auth_mode: aad_token
defaults: {deployment_name: xgb}
location: westeurope
identity: {type: system_assigned}
"""
MODEL_DEPLOYMENT = """
type: model
name: xgb
endpoint_name: heart
description: d
tags: {device_acceleration: CUDA}
properties: {p: q}
model: {name: m, version: 3, path: model, type: mlflow_model}
code_configuration: {code: src, scoring_script: score.py}
environment: {name: e, version: 1, image: "mcr/x:1", conda_file: conda.yml}
compute: azureml:cpu-cluster
resources: {instance_count: 2}
settings:
  max_concurrency_per_instance: 3
  mini_batch_size: 20
  error_threshold: 5
  retry_settings: {max_retries: 1, timeout: 300}
  output_action: append_row
  output_file_name: p.jsonl
  logging_level: debug
  environment_variables: {RATE: 0.5, DEBUG: true}
"""
LEGACY_DEPLOYMENT = """
name: xgb
endpoint_name: heart
description: d
tags: {device_acceleration: CUDA}
properties: {p: q}
model: {name: m, version: 3, path: model, type: mlflow_model}
code_configuration: {code: src, scoring_script: score.py}
environment: {name: e, version: 1, image: "mcr/x:1", conda_file: conda.yml}
compute: azureml:cpu-cluster
resources: {instance_count: 2}
max_concurrency_per_instance: 3
mini_batch_size: 20
error_threshold: 5
retry_settings: {max_retries: 1, timeout: 300}
output_action: append_row
output_file_name: p.jsonl
logging_level: debug
environment_variables: {RATE: 0.5, DEBUG: true}
"""
PIPELINE_DEPLOYMENT = """
type: pipeline
name: pipe
endpoint_name: heart
component: azureml:prepare_and_score@latest
settings:
  default_compute: azureml:cpu
  default_datastore: azureml:raw
  continue_on_step_failure: false
  force_rerun: true
"""
COMMAND_COMPONENT = """
type: command
name: prepare
version: 1.10
display_name: Prepare
is_deterministic: false
code: src
environment: azureml:env:1
command: python p.py --in ${{inputs.raw}} $[[--n ${{inputs.n}}]] --out ${{outputs.clean}}
inputs:
  raw: {type: uri_folder, mode: ro_mount}
  n: {type: integer, default: 3, min: 1, max: 9, optional: true, description: how many}
  kind: {type: string, default: a, enum: [a, b]}
outputs:
  clean: {type: uri_folder, mode: rw_mount}
resources: {instance_count: 2, shm_size: 2g}
distribution: {type: pytorch, process_count_per_instance: 2}
"""
PARALLEL_COMPONENT = """
type: parallel
name: score
input_data: ${{inputs.clean}}
mini_batch_size: 10kb
mini_batch_error_threshold: 2
partition_keys: [country]
max_concurrency_per_instance: 2
retry_settings: {max_retries: 2, timeout: 60}
logging_level: DEBUG
inputs: {clean: {type: mltable, mode: eval_mount}}
outputs: {rows: {type: uri_file}}
task:
  type: run_function
  code: src
  entry_script: score.py
  environment: azureml:env@latest
  program_arguments: --model ${{inputs.model}}
  append_row_to: ${{outputs.rows}}
"""
PIPELINE_COMPONENT = """
type: pipeline
name: prepare_and_score
inputs:
  raw: {type: uri_folder}
  rate: {type: number, default: 0.1}
outputs: {scores: {type: uri_folder, mode: upload}}
settings: {default_compute: azureml:cpu}
jobs:
  prepare:
    type: command
    component: prepare.yml
    inputs: {raw: "${{parent.inputs.raw}}", rate: "${{parent.inputs.rate}}", n: 3}
    outputs: {clean: {path: "azureml://datastores/${{default_datastore}}/paths/${{name}}", mode: rw_mount}}
  inline:
    type: command
    command: echo ${{inputs.x}}
    environment: {image: python}
    environment_variables: {A: 1}
    compute: azureml:gpu
    inputs: {x: {path: "${{parent.jobs.prepare.outputs.clean}}", type: uri_folder, mode: download}}
  score:
    type: parallel
    input_data: ${{inputs.clean}}
    mini_batch_size: 5
    inputs: {clean: "${{parent.jobs.prepare.outputs.clean}}"}
    outputs: {rows: "${{parent.outputs.scores}}"}
    task: {type: run_function, code: src, entry_script: score.py, append_row_to: "${{outputs.rows}}"}
  tune:
    type: sweep
    trial: azureml:train:1
    search_space: {lr: {type: uniform, min_value: 0.1, max_value: 0.9}}
    objective: {goal: maximize, primary_metric: auc}
    sampling_algorithm: random
    limits: {max_total_trials: 4}
  inner:
    type: pipeline
    component: azureml:other:2
"""


def read(spec, text):
    document, origins = parse_yaml(text, "x.yml")
    return check(spec, document, where=origins)


def again(spec, value):
    return read(spec, dump_yaml(value))


SPECS = [
    pytest.param(BatchEndpoint, BatchEndpoint, ENDPOINT, id="endpoint"),
    pytest.param(DEPLOYMENT, ModelDeployment, MODEL_DEPLOYMENT, id="model deployment"),
    pytest.param(DEPLOYMENT, ModelDeployment, LEGACY_DEPLOYMENT, id="legacy model deployment"),
    pytest.param(DEPLOYMENT, PipelineComponentDeployment, PIPELINE_DEPLOYMENT, id="pipeline deployment"),
    pytest.param(COMPONENT, CommandComponent, COMMAND_COMPONENT, id="command component"),
    pytest.param(COMPONENT, ParallelComponent, PARALLEL_COMPONENT, id="parallel component"),
    pytest.param(COMPONENT, PipelineComponent, PIPELINE_COMPONENT, id="pipeline component"),
    pytest.param(
        Model, Model, "name: m\nversion: 2\npath: model\ntype: custom_model\nflavors: {a: {b: 1}}", id="model"
    ),
    pytest.param(Data, Data, "name: d\npath: azureml://datastores/raw/paths/x/\ntype: uri_folder", id="data"),
    pytest.param(
        Datastore,
        Datastore,
        "name: raw\ntype: azure_blob\naccount_name: a\ncontainer_name: c\ncredentials: {sas_token: env:SAS}",
        id="datastore",
    ),
    pytest.param(Environment, Environment, "name: e\nconda_file: {dependencies: [python=3.11]}", id="environment"),
    pytest.param(
        Compute, Compute, "name: cpu\ntype: amlcompute\nsize: STANDARD_DS3_v2\ntier: low_priority", id="compute"
    ),
    pytest.param(
        Invocation,
        Invocation,
        "inputs: {data: {type: uri_folder, path: x}}\noutputs: {score: {type: uri_file, path: y/p.csv}}\n"
        "mini_batch_size: 3\nretry_settings: {timeout: PT45S}",
        id="invocation",
    ),
]


@pytest.mark.parametrize(("spec", "kind", "text"), SPECS)
def test_every_key_of_azures_files_is_read_and_written_back(spec, kind, text):
    first = read(spec, text)
    assert type(first) is kind
    assert again(spec, first) == first
    assert check(spec, json.loads(json.dumps(to_document(first)))) == first


def test_both_layouts_of_a_deployment_are_one_deployment():
    assert read(DEPLOYMENT, LEGACY_DEPLOYMENT) == read(DEPLOYMENT, MODEL_DEPLOYMENT)


def test_settings_may_give_the_nodes_as_the_sdk_does():
    found = read(DEPLOYMENT, "name: xgb\nmodel: m\nsettings: {instance_count: 3}")
    assert found.resources.instance_count == 3
    assert read(DEPLOYMENT, "name: xgb\nmodel: m\ninstance_count: 3") == found


def test_a_model_deployment_has_azures_defaults():
    found = read(DEPLOYMENT, "name: xgb\nmodel: azureml:m@latest")
    assert to_document(found) == {
        "name": "xgb",
        "endpoint_name": "",
        "description": "",
        "tags": {},
        "properties": {},
        "type": "model",
        "model": "azureml:m@latest",
        "compute": "local",
        "resources": {"instance_count": 1, "instance_type": "", "properties": {}},
        "settings": {
            "max_concurrency_per_instance": 1,
            "output_columns": [],
            "error_threshold": -1,
            "keep_failed_inputs": False,
            "retry_settings": {"max_retries": 3, "timeout": 30},
            "output_action": "append_row",
            "logging_level": "info",
            "environment_variables": {},
        },
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            BatchEndpoint(name="heart"),
            {"auth_mode": "aad_token", "defaults": {"deployment_name": ""}, "tags": {}, "properties": {}},
            id="endpoint",
        ),
        pytest.param(
            read(DEPLOYMENT, "type: pipeline\nname: pipe\ncomponent: azureml:c:1").settings,
            {"default_compute": "", "default_datastore": "", "continue_on_step_failure": True, "force_rerun": False},
            id="pipeline settings",
        ),
        pytest.param(
            Compute(name="cpu"),
            {"type": "amlcompute", "min_instances": 0, "max_instances": 4, "idle_time_before_scale_down": 120}
            | {"tier": "dedicated"},
            id="compute",
        ),
        pytest.param(Model(), {"type": "custom_model"}, id="model"),
        pytest.param(Data(path="x"), {"type": "uri_folder"}, id="data"),
        pytest.param(
            read(COMPONENT, "type: parallel\ntask: {entry_script: s.py}"), {"mini_batch_size": 1}, id="parallel step"
        ),
    ],
)
def test_defaults_are_azures(found, expected):
    assert expected.items() <= to_document(found).items()


def test_a_pipeline_in_place_needs_no_record():
    found = read(DEPLOYMENT, "type: pipeline\nname: pipe\ncomponent: {jobs: {a: {component: azureml:c:1}}}")
    assert found.component.jobs["a"].component == "azureml:c:1"


def test_expressions_stay_text_for_the_planner():
    pipeline = read(COMPONENT, PIPELINE_COMPONENT)
    assert pipeline.jobs["prepare"].inputs["raw"] == "${{parent.inputs.raw}}"
    assert (
        pipeline.jobs["prepare"].outputs["clean"].path
        == "azureml://datastores/${{default_datastore}}/paths/${{name}}"
    )
    assert pipeline.jobs["inline"].inputs["x"].path == "${{parent.jobs.prepare.outputs.clean}}"
    assert "$[[--n ${{inputs.n}}]]" in read(COMPONENT, COMMAND_COMPONENT).command


@pytest.mark.parametrize(
    "text",
    ["", "component: azureml:c:1\njob_definition: azureml:j"],
    ids=["neither", "both"],
)
def test_a_pipeline_deployment_has_one_source(text):
    with pytest.raises(SpecError, match="expected one of component and job_definition"):
        read(DEPLOYMENT, f"type: pipeline\nname: pipe\n{text}")


@pytest.mark.parametrize("name", ["abc", "A-1", "x" * 32, "a--b"])
def test_names_of_endpoints_have_azures_form(name):
    assert BatchEndpoint(name=name).name == name


@pytest.mark.parametrize("name", ["ab", "x" * 33, "1ab", "ab-", "-ab", "a_b", "a b", "äbc", "abc\n", "a/b", ""])
def test_other_names_of_endpoints_are_refused(name):
    with pytest.raises(ValidationError, match="3 to 32 letters"):
        BatchEndpoint(name=name)


@pytest.mark.parametrize("name", ["../x", "a/b", ".a", "a b", "x" * 256, "", "a\n"])
def test_a_name_that_becomes_a_path_has_no_way_out(name):
    with pytest.raises(ValidationError, match="at most 255"):
        Compute(name=name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("azureml:m:3", ("m", "3", "")),
        ("azureml:m@latest", ("m", "", "latest")),
        ("azureml:m", ("m", "", "")),
        ("m:3", ("m", "3", "")),
        ("m@latest", ("m", "", "latest")),
        ("m", ("m", "", "")),
        ("azureml:m.v-1_x:1.10", ("m.v-1_x", "1.10", "")),
        (
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/models/m/"
            "versions/3",
            ("m", "3", ""),
        ),
        ("azureml:/subscriptions/s/resourceGroups/g/providers/p/workspaces/w/data/d/versions/1", ("d", "1", "")),
        ("azureml://locations/westeurope/workspaces/w/models/m/versions/3", ("m", "3", "")),
    ],
)
def test_references_are_read_in_every_form_of_azures_files(text, expected):
    found = parse_reference(text)
    assert (found.name, found.version, found.label) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("azureml://registries/azureml/models/m/versions/1", "names a registry, and there are no registries here"),
        ("azureml:", "is not a reference"),
        ("", "is not a reference"),
        ("a:b:c", "is not a reference"),
        ("m@", "is not a reference"),
        ("../x", "is not a reference"),
    ],
)
def test_what_is_no_reference_is_told(text, expected):
    with pytest.raises(SpecError, match=expected):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("azureml://datastores/raw/paths/a/b.csv", ("raw", "a/b.csv")),
        ("azureml://datastores/raw/paths/", ("raw", "")),
        ("azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/raw/paths/a", ("raw", "a")),
        ("azureml:raw:1", None),
        ("s3://bucket/a", None),
    ],
)
def test_paths_in_datastores_are_taken_apart(text, expected):
    assert datastore_path(text) == expected


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("type: azure_blob\naccount_name: a\ncontainer_name: c", "abfss://c@a.dfs.core.windows.net"),
        ("type: azure_data_lake_gen2\naccount_name: a\nfilesystem: f", "abfss://f@a.dfs.core.windows.net"),
        ("type: azure_file\naccount_name: a\nfile_share_name: s", "https://a.file.core.windows.net/s"),
        ("type: azure_data_lake_gen1\nstore_name: s", "adl://s.azuredatalakestore.net"),
        ("type: uri\nuri: s3://bucket/x/", "s3://bucket/x"),
    ],
)
def test_a_datastore_stands_for_a_uri(text, prefix):
    assert read(Datastore, f"name: raw\n{text}").prefix == prefix


@pytest.mark.parametrize("type", ["azure_blob", "azure_data_lake_gen1", "azure_data_lake_gen2", "azure_file", "uri"])
def test_a_datastore_without_a_place_is_refused(type):
    with pytest.raises(SpecError, match=f"a datastore of type {type} needs"):
        check(Datastore, {"name": "raw", "type": type})


def test_computes_are_named_with_and_without_prefix():
    assert compute_name("azureml:cpu") == compute_name("cpu") == "cpu"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(45, 45), ("45", 45), ("PT45S", 45), ("pt5m", 300), ("PT1H30M", 5400), ("P1DT1S", 86401), ("PT1.5S", 1)],
)
def test_timeouts_are_seconds_or_iso_8601(written, seconds):
    assert RetrySettings(timeout=written).timeout == seconds


@pytest.mark.parametrize("written", ["PT", "P", "PT0S", 0, -1, "soon", 1.5])
def test_a_timeout_that_is_none_is_refused(written):
    with pytest.raises(ValidationError):
        RetrySettings(timeout=written)


@pytest.mark.parametrize("written", ["append_row", "AppendRow", "appendRow", "APPEND_ROW"])
def test_output_actions_are_read_in_any_spelling(written):
    assert ModelDeploymentSettings(output_action=written).output_action == "append_row"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("UriFolder", "uri_folder"),
        ("uriFile", "uri_file"),
        ("uri_file", "uri_file"),
        ("MLTable", "mltable"),
        ("MLFlowModel", "mlflow_model"),
        ("CustomModel", "custom_model"),
        ("Literal", "literal"),
        ("string", "literal"),
        ("boolean", "literal"),
        ("number", "literal"),
        ("integer", "literal"),
    ],
)
def test_input_types_are_read_in_any_spelling(written, read):
    assert JobInput(type=written).type == read


def test_output_types_are_read_in_any_spelling():
    assert JobOutput(type="UriFile").type == "uri_file"


@pytest.mark.parametrize("size", [1, 10, "64MB", "5000 rows", "10kb", "2 GB"])
def test_mini_batches_are_cut_by_files_bytes_or_rows(size):
    assert ModelDeploymentSettings(mini_batch_size=size).mini_batch_size == size


def test_a_number_of_files_as_text_is_a_number():
    assert ModelDeploymentSettings(mini_batch_size="20").mini_batch_size == 20


@pytest.mark.parametrize("size", [0, -1, "0", "64 apples", "MB", ""])
def test_a_mini_batch_of_nothing_is_refused(size):
    with pytest.raises(ValidationError):
        ModelDeploymentSettings(mini_batch_size=size)


@pytest.mark.parametrize("name", ["a/b.csv", "", ".", "..", "/p.csv"])
def test_an_output_file_stays_in_its_folder(name):
    with pytest.raises(ValidationError, match="without a folder"):
        ModelDeploymentSettings(output_file_name=name)


@pytest.mark.parametrize("variables", [{"A=B": "1"}, {"": "1"}, {"A": "\0"}, {"\0": ""}], ids=repr)
def test_what_no_process_can_be_given_is_no_environment_variable(variables):
    with pytest.raises(ValidationError, match="environment variable"):
        ModelDeploymentSettings(environment_variables=variables)


@pytest.mark.parametrize("name", ["../../evil", "a/b", "%41", "", "."])
def test_an_output_has_a_name_that_stays_in_the_jobs_folder(name):
    with pytest.raises(ValidationError):
        Invocation(outputs={name: JobOutput()})


@pytest.mark.parametrize("name", ["p.xlsx", "p.json", "p.csv.xz"])
def test_an_output_in_a_format_that_nobody_writes_is_refused(name):
    with pytest.raises(ValidationError, match=r"there are \.csv \.jsonl \.parquet \.arrow"):
        ModelDeploymentSettings(output_file_name=name)


@pytest.mark.parametrize("where", ["settings: {%s}", "%s"], ids=["settings", "legacy"])
def test_rows_of_a_script_that_takes_paths_cannot_be_isolated(where):
    said = where % "mini_batch_format: files, on_error: isolate".replace(", ", ", " if "{" in where else "\n")
    with pytest.raises(SpecError, match=r"on_error 'isolate' finds the rows of a table that fail, and .* is 'files'"):
        read(DEPLOYMENT, f"name: xgb\nmodel: m\n{said}")


@pytest.mark.parametrize(
    ("script", "on_error", "isolates"),
    [
        ("", None, True),
        ("", "fail", False),
        ("code_configuration: {scoring_script: s.py}", None, False),
        ("code_configuration: {scoring_script: s.py}", "Isolate", True),
    ],
)
def test_rows_are_isolated_where_nothing_is_said_only_without_a_script(script, on_error, isolates):
    said = f"\nsettings: {{on_error: {on_error}}}" if on_error else ""
    assert read(DEPLOYMENT, f"name: xgb\nmodel: m\n{script}{said}").isolates_rows is isolates


def test_specs_are_frozen_and_strict():
    endpoint = BatchEndpoint(name="heart")
    with pytest.raises(ValidationError):
        endpoint.name = "lung"
    with pytest.raises(ValidationError):
        BatchEndpoint(name="heart", nmae="x")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
VARIABLE = TEXT.filter(lambda name: name and "=" not in name and "\0" not in name)
VALUE = TEXT.filter(lambda value: "\0" not in value)
SETTINGS = st.builds(
    ModelDeploymentSettings,
    max_concurrency_per_instance=st.integers(1, 99),
    mini_batch_size=st.integers(1, 10**6) | st.sampled_from(["64MB", "10 rows"]),
    error_threshold=st.integers(-1, 10**9),
    on_error=st.sampled_from(["isolate", "fail", None]),
    keep_failed_inputs=st.booleans(),
    retry_settings=st.builds(RetrySettings, max_retries=st.integers(0, 9), timeout=st.integers(1, 10**6)),
    output_file_name=st.sampled_from(["p.csv", "a b.parquet", "ü.jsonl"]),
    logging_level=st.sampled_from(["info", "warning", "debug"]),
    environment_variables=st.dictionaries(VARIABLE, VALUE | st.integers() | st.booleans(), max_size=3),
)
DEPLOYMENTS = st.builds(
    ModelDeployment,
    name=st.from_regex(r"[a-z][a-z0-9]{2,9}", fullmatch=True),
    model=TEXT | st.builds(Model, path=TEXT, version=TEXT | st.integers()),
    environment=st.none() | TEXT | st.builds(Environment, image=TEXT),
    tags=st.dictionaries(TEXT, TEXT, max_size=2),
    settings=SETTINGS,
)


@settings(max_examples=40)
@given(DEPLOYMENTS)
def test_a_deployment_survives_yaml_and_json(deployment):
    adapter = TypeAdapter(ModelDeployment)
    assert again(DEPLOYMENT, deployment) == deployment
    assert adapter.validate_json(adapter.dump_json(deployment)) == deployment


@settings(max_examples=40)
@given(DEPLOYMENTS)
def test_the_legacy_layout_says_the_same(deployment):
    document = to_document(deployment)
    at_root = document.pop("settings")
    assert check(DEPLOYMENT, document | at_root) == deployment
