"""Components and pipeline deployments over records in memory: versions, pins, and what is refused."""

from datetime import datetime, timezone

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.control_plane.components import component_uris, frozen_component
from batch_endpoints.errors import BatchEndpointError, NotFound, SpecError
from batch_endpoints.interfaces.records import Page
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import (
    COMPONENT,
    DEPLOYMENT,
    BatchEndpoint,
    BatchJob,
    Compute,
    Data,
    Environment,
    JobInput,
    Model,
    PipelineJob,
    check,
)
from batch_endpoints.specs.yaml_text import parse_yaml

NOW = datetime(2031, 5, 1, tzinfo=timezone.utc)
PREPARE = """
type: command
name: prepare
inputs: {raw: {type: uri_folder}, limit: {type: integer, default: 3, max: 9}}
outputs: {clean: {type: uri_folder}}
environment: azureml:sklearn@latest
code: file:///code/prepare
command: python p.py ${{inputs.raw}} ${{inputs.limit}} ${{outputs.clean}}
"""
SCORING = """
type: pipeline
name: scoring
inputs: {raw: {type: uri_folder}, limit: {type: integer, default: 4}}
outputs: {scores: {type: uri_folder}}
jobs:
  prepare:
    type: command
    component: azureml:prepare@latest
    inputs: {raw: "${{parent.inputs.raw}}", limit: "${{parent.inputs.limit}}"}
  score:
    type: command
    component:
      inputs: {clean: {type: uri_folder}, model: {type: mlflow_model}}
      outputs: {scores: {type: uri_folder}}
      code: file:///code/score
      command: python s.py ${{inputs.clean}} ${{inputs.model}} ${{outputs.scores}}
    inputs:
      clean: ${{parent.jobs.prepare.outputs.clean}}
      model: {type: mlflow_model, path: azureml:heart@latest}
    outputs: {scores: "${{parent.outputs.scores}}"}
"""


def read(spec, text):
    document, origins = parse_yaml(text, "x.yml")
    return check(spec, document, where=origins)


def component(text):
    return read(COMPONENT, text)


class Server:
    def __init__(self, folder, **more):
        self.store = MemoryRecordStore()
        plane = ControlPlane(
            self.store, jobs_root=folder / "jobs", uploads_root=folder / "uploads", now=lambda: NOW, **more
        )
        self.assets, self.deployments = plane.assets, plane.deployments
        plane.endpoints.put(BatchEndpoint(name="heart"))
        self.assets.put("environments", Environment(name="sklearn", requirements=["scikit-learn"]))
        self.assets.put("models", Model(name="heart", path="/models/heart", type="mlflow_model"))

    def put(self, text):
        return self.assets.put("components", component(text))[0]

    def deploy(self, text):
        given = read(DEPLOYMENT, f"type: pipeline\nname: pipe\nendpoint_name: heart\n{text}")
        return self.deployments.put(given)[0]


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


@pytest.fixture
def scoring(server):
    server.put(PREPARE)
    server.put(SCORING)
    return server


def test_the_same_component_keeps_its_version_and_a_changed_one_gets_the_next(server):
    versions = [server.put(text).version for text in (PREPARE, PREPARE, PREPARE.replace("p.py", "q.py"), PREPARE)]

    assert versions == ["1", "1", "2", "3"]


def test_a_new_description_of_the_same_component_is_kept(server):
    server.put(PREPARE)

    server.put(PREPARE + "description: new\n")

    assert server.assets.get("components", "prepare").description == "new"


def test_references_are_pinned_when_a_component_is_registered(scoring):
    stored = scoring.assets.get("components", "scoring")
    prepare = scoring.assets.get("components", "prepare")

    assert stored.jobs["prepare"].component == "azureml:prepare:1"
    assert stored.jobs["score"].inputs["model"].path == "azureml:heart:1"
    assert prepare.environment == "azureml:sklearn:1"


def test_a_pipeline_changes_when_the_latest_of_what_it_refers_to_has(scoring):
    scoring.put(PREPARE.replace("p.py", "q.py"))

    assert scoring.put(SCORING).version == "2"


def test_a_frozen_component_holds_no_reference(scoring):
    frozen = frozen_component(scoring.assets, scoring.assets.get("components", "scoring"))

    prepare = frozen.jobs["prepare"].component
    assert (prepare.name, prepare.version) == ("prepare", "1")
    assert prepare.environment.requirements == ["scikit-learn"]
    assert frozen.jobs["score"].inputs["model"].path == "file:///models/heart"
    assert set(component_uris(frozen)) - {""} == {
        "file:///code/prepare",
        "file:///code/score",
        "file:///models/heart",
    }


REFUSED = [
    pytest.param(
        "azureml:prepare@latest", "azureml:prepair@latest", NotFound, "jobs.prepare.component", id="component"
    ),
    pytest.param("azureml:heart@latest", "azureml:hart@latest", NotFound, "jobs.score.inputs.model", id="model"),
    pytest.param(
        "default: 4", "default: 12", SpecError, "'jobs.prepare.inputs.limit': expected at most 9", id="range"
    ),
    pytest.param(
        "jobs.prepare.outputs.clean", "jobs.prepare.outputs.clear", SpecError, "did you mean 'clean'?", id="output"
    ),
    pytest.param("${{inputs.model}}", "${{inputs.modell}}", SpecError, "did you mean 'model'?", id="placeholder"),
]


@pytest.mark.parametrize(("old", "new", "error", "expected"), REFUSED)
def test_a_pipeline_that_cannot_run_is_refused_when_it_is_registered(server, old, new, error, expected):
    server.put(PREPARE)

    with pytest.raises(error) as caught:
        server.put(SCORING.replace(old, new))

    assert expected in str(caught.value)
    assert [known.name for known in server.assets.list("components", Page()).items] == ["prepare"]


@pytest.mark.parametrize(("old", "new", "error", "expected"), REFUSED)
def test_a_pipeline_that_cannot_run_is_refused_when_it_is_deployed(server, old, new, error, expected):
    server.put(PREPARE)
    pipeline = SCORING.replace(old, new).replace("name: scoring\n", "").replace("\n", "\n  ")

    with pytest.raises(error) as caught:
        server.deploy(f"component:{pipeline}")

    assert expected in str(caught.value)


def test_a_deployment_is_pinned_to_the_version_of_its_component(scoring):
    deployed = scoring.deploy("component: azureml:scoring@latest")

    assert deployed.component == "azureml:scoring:1"


def test_a_component_with_a_name_in_a_deployment_is_registered(server):
    server.put(PREPARE)

    deployed = server.deploy("component:" + SCORING.replace("\n", "\n  "))

    assert deployed.component == server.assets.get("components", "scoring")
    assert (deployed.component.version, deployed.component.jobs["prepare"].component) == ("1", "azureml:prepare:1")


def test_a_component_without_a_name_stays_in_its_deployment_and_is_pinned(server):
    server.put(PREPARE)

    deployed = server.deploy("component:" + SCORING.replace("name: scoring\n", "").replace("\n", "\n  "))

    assert deployed.component.jobs["prepare"].component == "azureml:prepare:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("component: azureml:prepare@latest", "is a command component", id="no pipeline"),
        pytest.param("component: azureml:other@latest", "other", id="unknown"),
        pytest.param(
            "component: azureml:scoring@latest\nsettings: {default_compute: azureml:gpus}", "gpus", id="compute"
        ),
        pytest.param(
            "component: azureml:scoring@latest\nsettings: {default_datastore: lake}", "lake", id="datastore"
        ),
        pytest.param("job_definition: azureml:nojob", "nojob", id="job"),
    ],
)
def test_a_pipeline_deployment_that_cannot_run_is_refused(scoring, text, expected):
    with pytest.raises(BatchEndpointError) as caught:
        scoring.deploy(text)

    assert expected in str(caught.value)


def test_the_default_compute_of_a_deployment_is_one_that_exists(scoring):
    scoring.assets.put("computes", Compute(name="gpus"))

    deployed = scoring.deploy("component: azureml:scoring@latest\nsettings: {default_compute: azureml:gpus}")

    assert deployed.settings.default_compute == "gpus"


def test_a_deployment_from_a_job_has_the_values_of_the_job_as_defaults(scoring):
    frozen = frozen_component(scoring.assets, scoring.assets.get("components", "scoring"))
    inputs = {"raw": JobInput(path="file:///data/june"), "limit": JobInput(type="literal", value=7)}
    spec = PipelineJob(name="ran", component=frozen, inputs=inputs)
    times = {"created_at": NOW, "modified_at": NOW}
    job = BatchJob(uid="u", name="ran", endpoint_name="", deployment_name="", spec=spec, folder="f", **times)
    scoring.store.add_job(job)

    deployed = scoring.deploy("job_definition: azureml:ran")

    assert deployed.job_definition is None
    assert deployed.component.properties == {"source_job": "ran"}
    assert deployed.component.inputs["raw"].path == "file:///data/june"
    assert (deployed.component.inputs["limit"].type, deployed.component.inputs["limit"].default) == ("integer", 7)


def test_a_job_in_place_becomes_a_component_with_the_types_of_its_steps(scoring):
    scoring.assets.put("data", Data(name="june", path="/data/june"))

    deployed = scoring.deploy("""
job_definition:
  type: pipeline
  inputs: {raw: {type: uri_folder, path: azureml:june@latest}, limit: "7"}
  outputs: {clean: }
  jobs:
    prepare:
      component: azureml:prepare@latest
      inputs: {raw: "${{parent.inputs.raw}}", limit: "${{parent.inputs.limit}}"}
      outputs: {clean: "${{parent.outputs.clean}}"}
""")

    limit = deployed.component.inputs["limit"]
    assert (limit.type, limit.default, limit.max) == ("integer", "7", 9)
    assert deployed.component.inputs["raw"].path == "azureml:june:1"
