"""The use cases over records in memory and real files."""

import hashlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.control_plane.records import everything, merge_patch
from batch_endpoints.control_plane.uploads import Upload, UploadedFile
from batch_endpoints.errors import Conflict, InputError, InvocationError, NotFound, Refused, SpecError
from batch_endpoints.interfaces.records import Page
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import (
    COMPONENT,
    DEPLOYMENT,
    BatchEndpoint,
    CodeConfiguration,
    Compute,
    Data,
    Datastore,
    Environment,
    Invocation,
    JobInput,
    JobOutput,
    JobState,
    Model,
    ModelDeployment,
    Progress,
    check,
)
from batch_endpoints.storage.files.addresses import local_path

NOW = datetime(2031, 5, 1, tzinfo=timezone.utc)
SCRIPT = b"def init(): pass\ndef run(files): return files\n"


class Server:
    """A control plane with the endpoint `heart`, and what a test needs to fill it."""

    def __init__(self, folder, **more):
        self.folder = folder
        self.checked = []
        self.store = MemoryRecordStore()
        self.control_plane = ControlPlane(
            self.store,
            jobs_root=folder / "jobs",
            uploads_root=folder / "uploads",
            check_input=lambda uri, kind, access: self.checked.append((uri, kind)),
            now=lambda: NOW,
            **more,
        )
        self.endpoints, self.deployments = self.control_plane.endpoints, self.control_plane.deployments
        self.assets, self.jobs = self.control_plane.assets, self.control_plane.jobs
        self.endpoints.put(BatchEndpoint(name="heart"))

    def upload(self, name, files):
        """Send a folder (or, with the key "", a file); returns its URI."""
        rows = []
        for path, content in files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            with self.control_plane.uploads.receive(sha256) as write:
                write(content)
            rows.append(UploadedFile(path=f"{name}/{path}" if path else name, sha256=sha256, size=len(content)))
        upload = Upload(name=name, files=tuple(rows))
        assert self.control_plane.uploads.add(upload) == []
        return upload.uri

    def scripted(self, name="v-1", **more):
        """A deployment with a scoring script and a model that is one file."""
        document = {
            "name": name,
            "endpoint_name": "heart",
            "model": {"path": self.upload("model.bin", {"": b"weights"})},
            "code_configuration": {
                "code": self.upload("src", {"score.py": SCRIPT}),
                "scoring_script": "score.py",
            },
        } | more
        return check(ModelDeployment, document)

    def with_default(self, **more):
        self.deployments.put(self.scripted(**more))
        self.endpoints.patch("heart", {"defaults": {"deployment_name": "v-1"}})
        return self

    def invoke(self, path="/data", **more):
        options = {key: more.pop(key) for key in ("deployment", "request_id", "invoker") if key in more}
        inputs = {"inputs": {"data": JobInput(path=path)}} | more
        return self.jobs.invoke("heart", Invocation.model_validate(inputs), **options)

    def move(self, name, status):
        return self.store.update_job(name, lambda job: job.replaced(status=status))


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


# endpoints


def test_putting_an_endpoint_again_replaces_it_and_keeps_its_deployments(server):
    server.with_default()

    created = server.endpoints.put(BatchEndpoint(name="heart", description="new"))

    assert not created
    assert server.endpoints.get("heart").description == "new"
    assert server.deployments.get("heart", "v-1").name == "v-1"


def test_a_patch_of_an_endpoint_merges_tags_and_removes_what_is_null(server):
    server.endpoints.put(BatchEndpoint(name="heart", description="old", tags={"a": "1", "b": "2"}))

    patched = server.endpoints.patch("heart", {"tags": {"b": None, "c": "3"}})

    assert patched.tags == {"a": "1", "c": "3"}
    assert server.endpoints.get("heart") == patched
    assert patched.description == "old"


def test_a_patch_may_not_rename_an_endpoint(server):
    with pytest.raises(SpecError, match="'name' of an endpoint cannot be changed"):
        server.endpoints.patch("heart", {"name": "lung"})


@pytest.mark.parametrize("default", ["v-2", "v"])
def test_a_default_must_be_there(server, default):
    server.with_default()

    with pytest.raises(NotFound) as error:
        server.endpoints.patch("heart", {"defaults": {"deployment_name": default}})

    assert f"endpoint 'heart' has no deployment '{default}'" in str(error.value)
    assert "It has: v-1." in str(error.value)


def test_a_new_endpoint_cannot_have_a_default_yet(server):
    with pytest.raises(NotFound, match="no deployment 'v-1'"):
        server.endpoints.put(BatchEndpoint.model_validate({"name": "lung", "defaults": {"deployment_name": "v-1"}}))


def test_deleting_an_endpoint_deletes_its_deployments_and_keeps_its_jobs(server):
    job = server.with_default().invoke()

    server.endpoints.delete("heart")

    with pytest.raises(NotFound):
        server.deployments.get("heart", "v-1")
    assert server.jobs.get(job.name, "heart") == job
    assert [j.name for j in server.jobs.list(endpoint="heart", page=Page()).items] == [job.name]


# deployments


def test_a_model_in_place_becomes_an_asset_and_the_deployment_refers_to_its_version(server):
    stored, created = server.deployments.put(server.scripted())

    assert created
    assert stored.model == "azureml:heart-v-1:1"
    assert server.assets.get("models", "heart-v-1", "1").path.startswith("upload://")


def test_the_same_model_content_keeps_its_version_and_other_content_gets_the_next(server):
    named = {"name": "weights", "path": server.upload("model.bin", {"": b"weights"})}
    other = {"name": "weights", "path": server.upload("model.bin", {"": b"other"})}

    first, _ = server.deployments.put(server.scripted(model=named))
    again, created = server.deployments.put(server.scripted(model=named))
    second, _ = server.deployments.put(server.scripted("v-2", model=other))

    assert (first.model, again.model, second.model) == (
        "azureml:weights:1",
        "azureml:weights:1",
        "azureml:weights:2",
    )
    assert not created


def test_latest_is_pinned_when_the_deployment_is_created(server):
    for content in (b"1", b"2"):
        server.assets.put("models", Model(name="weights", path=server.upload("m", {"": content})))

    stored, _ = server.deployments.put(server.scripted(model="azureml:weights@latest"))
    server.assets.put("models", Model(name="weights", path=server.upload("m", {"": b"3"})))

    assert stored.model == "azureml:weights:2"
    assert server.deployments.get("heart", "v-1").model == "azureml:weights:2"


def test_a_named_environment_becomes_an_asset_and_an_anonymous_one_stays_in_place(server):
    named, _ = server.deployments.put(server.scripted(environment={"name": "torch", "image": "ubuntu"}))
    anonymous, _ = server.deployments.put(server.scripted("v-2", environment={"image": "ubuntu"}))

    assert named.environment == "azureml:torch:1"
    assert anonymous.environment == Environment(image="ubuntu")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"endpoint_name": "lung"}, "lung", id="endpoint"),
        pytest.param({"model": "azureml:weights:1"}, "weights", id="model"),
        pytest.param({"environment": "azureml:torch@latest"}, "torch", id="environment"),
        pytest.param({"compute": "azureml:gpus"}, "gpus", id="compute"),
        pytest.param({"model": {"path": f"upload://{'0' * 64}/model"}}, "has not been uploaded", id="upload"),
        pytest.param({"model": {"path": "azureml://datastores/ds/paths/m"}}, "ds", id="datastore"),
        pytest.param(
            {"code_configuration": {"code": "/not/there", "scoring_script": "s.py"}}, "/not/there", id="code folder"
        ),
    ],
)
def test_a_deployment_that_refers_to_what_is_not_there_is_refused(server, changes, told):
    with pytest.raises(NotFound, match=told):
        server.deployments.put(server.scripted(**changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param(
            {"code_configuration": None}, "'code_configuration' is missing", id="no script for a plain model"
        ),
        pytest.param({"model": {"type": "custom_model"}}, "'model.path' is missing", id="a model without a path"),
        pytest.param({"model": {"path": "model/"}}, "'model/' is relative", id="a relative path"),
        pytest.param({"model": "azureml:weights@stable"}, "The only label here is latest", id="another label"),
        pytest.param({"model": "azureml://registries/r/models/m/versions/1"}, "no registries here", id="a registry"),
        pytest.param({"compute": "a b"}, "a b", id="a compute that has no name"),
    ],
)
def test_a_deployment_that_cannot_run_is_refused(server, changes, told):
    with pytest.raises((SpecError, NotFound), match=told):
        server.deployments.put(server.scripted(**changes))


@pytest.mark.parametrize(
    ("model", "files"),
    [
        pytest.param({"type": "mlflow_model"}, {"weights": b"w"}, id="by its type"),
        pytest.param({}, {"MLmodel": b"flavors: {}"}, id="by its folder"),
    ],
)
def test_an_mlflow_model_needs_no_script(server, model, files):
    path = server.upload("model", files)

    server.with_default(model={**model, "path": path}, code_configuration=None)

    assert server.invoke().spec.model.type == "mlflow_model"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param(b"def init(): pass\ndef run(:\n", r"score.py:2: .*\n    def run\(:", id="syntax"),
        pytest.param(b"x = 'a\0b'", r"score.py:1: ", id="NUL"),
        pytest.param(b"  x = 1\n", r"score.py:1: ", id="indentation"),
    ],
)
def test_a_scoring_script_that_is_no_python_is_named_with_its_line(server, script, told):
    broken = server.scripted(
        code_configuration={"code": server.upload("src", {"score.py": script}), "scoring_script": "score.py"}
    )

    with pytest.raises(SpecError, match=told):
        server.deployments.put(broken)

    assert server.deployments.put(broken, skip_script_validation=True)[1]


@pytest.mark.parametrize("script", ["other.py", "../model.bin", "/etc/passwd", ""])
def test_a_scoring_script_must_be_in_the_code_folder(server, script):
    deployment = server.scripted()
    code = deployment.code_configuration.model_copy(update={"scoring_script": script})

    with pytest.raises(SpecError, match="is not in the code folder") as error:
        server.deployments.put(deployment.model_copy(update={"code_configuration": code}))

    assert "The folder has: score.py." in str(error.value)


def test_a_patch_of_a_deployment_changes_settings_and_nothing_else(server):
    server.with_default(settings={"mini_batch_size": 3, "error_threshold": 1})

    patched = server.deployments.patch("heart", "v-1", {"settings": {"mini_batch_size": 9}})

    assert (patched.settings.mini_batch_size, patched.settings.error_threshold) == (9, 1)
    with pytest.raises(SpecError, match="'model' of a deployment cannot be changed"):
        server.deployments.patch("heart", "v-1", {"model": "azureml:other:1"})
    with pytest.raises(SpecError, match=r"settings\.mini_batch_size"):
        server.deployments.patch("heart", "v-1", {"settings": {"mini_batch_size": 0}})


@pytest.fixture
def threads_that_take_turns():
    """Threads are switched as often as can be, so that one comes between any two steps of another."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_that_take_turns")
def test_of_patches_at_the_same_time_none_is_lost(server):
    server.with_default()

    def patch(index):
        for number in range(10):
            tags = {"tags": {f"{index}-{number}": "1"}}
            server.endpoints.patch("heart", tags)
            server.deployments.patch("heart", "v-1", tags)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(patch, range(4)))

    assert len(server.endpoints.get("heart").tags) == len(server.deployments.get("heart", "v-1").tags) == 40


def test_the_default_deployment_is_not_deleted(server):
    server.with_default()

    with pytest.raises(Conflict, match="'v-1' is the default of endpoint 'heart'"):
        server.deployments.delete("heart", "v-1")
    server.endpoints.patch("heart", {"defaults": {"deployment_name": ""}})
    server.deployments.delete("heart", "v-1")
    with pytest.raises(NotFound):
        server.deployments.get("heart", "v-1")


def test_a_pipeline_deployment_is_invoked_with_its_components_frozen_into_the_job(server):
    component = {"type": "command", "command": "echo ${{inputs.n}}", "inputs": {"n": {"type": "integer"}}}
    pipeline = {
        "name": "steps",
        "type": "pipeline",
        "inputs": {"n": {"type": "integer", "default": 7}},
        "jobs": {"one": {"component": "azureml:say@latest", "inputs": {"n": "${{parent.inputs.n}}"}}},
    }
    server.assets.put("components", check(COMPONENT, {**component, "name": "say"}))
    server.assets.put("components", check(COMPONENT, pipeline))
    deployment = {"name": "steps", "endpoint_name": "heart", "type": "pipeline", "component": "azureml:steps:1"}
    server.deployments.put(check(DEPLOYMENT, deployment))
    assert server.deployments.get("heart", "steps").component == "azureml:steps:1"

    job = server.jobs.invoke("heart", Invocation(deployment="steps"))
    other = {**component, "name": "say", "command": "echo other"}
    server.assets.put("components", check(COMPONENT, other))
    spec = server.jobs.get(job.name).spec
    assert (spec.type, spec.inputs["n"].value) == ("pipeline", 7)
    assert spec.component.jobs["one"].component.command == "echo ${{inputs.n}}"


# assets


def test_a_version_never_changes_its_content_but_may_change_its_description(server):
    model = Model(name="weights", version="1", path="file:///models/a")
    server.assets.put("models", model)

    stored, created = server.assets.put("models", model.model_copy(update={"description": "better words"}))

    assert not created
    assert stored.description == "better words"
    with pytest.raises(Conflict, match="has a version 1 already"):
        server.assets.put("models", model.model_copy(update={"path": "file:///models/b"}))


@pytest.mark.parametrize("kind", ["models", "data"])
def test_no_version_is_called_latest_because_that_stands_for_the_newest(server, kind):
    asset = {"models": Model, "data": Data}[kind](name="people", version="latest", path="/data/a")
    with pytest.raises(SpecError, match="'latest' is not a version"):
        server.assets.put(kind, asset)


def test_assets_without_a_version_are_numbered_and_the_latest_is_listed(server):
    for folder in ("a", "b"):
        server.assets.put("data", Data(name="people", path=f"/data/{folder}"))

    assert server.assets.get("data", "people").version == "2"
    assert [d.path for d in server.assets.list("data", Page()).items] == ["file:///data/b"]
    assert [d.version for d in server.assets.versions("data", "people", Page()).items] == ["2", "1"]


def test_components_are_assets(server):
    component = check(COMPONENT, {"name": "prepare", "type": "command", "command": "echo"})

    stored, created = server.assets.put("components", component)

    assert (stored.version, created) == ("1", True)


def test_the_compute_local_is_always_there_and_stays_as_it_is(server):
    server.assets.put("computes", Compute(name="gpus"))

    assert [c.name for c in server.assets.list("computes", Page()).items] == ["local", "gpus"]
    assert server.assets.get("computes", "local").type == "local"
    for change in (
        lambda: server.assets.put("computes", Compute(name="local")),
        lambda: server.assets.patch("computes", "local", {"max_instances": 9}),
        lambda: server.assets.delete("computes", "local"),
    ):
        with pytest.raises(Conflict, match="'local' is the server's own cluster"):
            change()


def test_a_datastore_is_patched_by_key(server):
    server.assets.put("datastores", Datastore(name="lake", type="uri", uri="s3://a"))

    server.assets.patch("datastores", "lake", {"uri": "s3://b"})

    assert server.assets.get("datastores", "lake").uri == "s3://b"
    with pytest.raises(SpecError, match="'name' of a datastore"):
        server.assets.patch("datastores", "lake", {"name": "pond"})


# jobs


def test_a_job_is_frozen_without_any_reference(server):
    server.assets.put("computes", Compute(name="gpus", max_instances=2))
    server.with_default(
        environment={"name": "torch", "image": "ubuntu"}, compute="azureml:gpus", settings={"mini_batch_size": 3}
    )

    job = server.invoke("/data/in put", invoker="ada", mini_batch_size=5, tags={"run": "1"}, display_name="Nightly")

    spec = job.spec
    assert (job.status, job.name[:9], job.created_at) == ("NotStarted", "batchjob-", NOW)
    assert (job.endpoint_name, job.deployment_name, job.created_by) == ("heart", "v-1", "ada")
    assert job.folder == (server.folder / "jobs" / job.uid).as_uri()
    assert (job.tags, job.display_name) == ({"run": "1"}, "Nightly")
    assert spec.model.path.startswith((server.folder / "uploads" / "trees").as_uri())
    assert spec.model.path.endswith("/model.bin")
    assert spec.deployment.code_configuration.code.startswith("file://")
    assert spec.deployment.environment.image == "ubuntu"
    assert spec.compute.max_instances == 2
    assert spec.deployment.settings.mini_batch_size == 5
    assert spec.inputs["data"].path == "file:///data/in%20put"
    assert spec.outputs == {"score": JobOutput()}
    assert server.checked == [("file:///data/in%20put", "uri_folder")]
    assert server.jobs.get(job.name) == job


def test_a_job_keeps_what_it_was_made_with(server):
    job = server.with_default().invoke()

    server.deployments.patch("heart", "v-1", {"settings": {"mini_batch_size": 99}})

    assert server.jobs.get(job.name).spec.deployment.settings.mini_batch_size == 10


@pytest.mark.parametrize(
    ("path", "uri", "kind"),
    [
        pytest.param("s3://bucket/in", "s3://bucket/in", "uri_folder", id="any URI"),
        pytest.param("/data", "file:///data", "uri_folder", id="a path on the server"),
        pytest.param("file:///data/a b", "file:///data/a%20b", "uri_folder", id="a file URI with a blank"),
        pytest.param("azureml:people:1", "s3://people", "uri_folder", id="a data asset"),
        pytest.param("azureml:people@latest", "file:///people.csv", "uri_file", id="the latest, with its own type"),
        pytest.param("azureml:people", "file:///people.csv", "uri_file", id="without a version"),
        pytest.param(
            "/subscriptions/s/resourceGroups/r/providers/p/workspaces/w/data/people/versions/1",
            "s3://people",
            "uri_folder",
            id="a resource id",
        ),
        pytest.param("azureml://datastores/lake/paths/a/b", "s3://lake/x/a/b", "uri_folder", id="a datastore"),
        pytest.param("azureml://datastores/disk/paths/a/", "file:///disk/a", "uri_folder", id="one on disk"),
        pytest.param("azureml:stored", "s3://lake/x/rows", "uri_folder", id="a data asset in a datastore"),
    ],
)
def test_every_way_to_name_an_input_becomes_a_uri(server, path, uri, kind):
    server.assets.put("data", Data(name="people", path="s3://people"))
    server.assets.put("data", Data(name="people", path="/people.csv", type="uri_file"))
    server.assets.put("datastores", Datastore(name="lake", type="uri", uri="s3://lake/x/"))
    server.assets.put("datastores", Datastore(name="disk", type="uri", uri="/disk"))
    server.assets.put("data", Data(name="stored", path="azureml://datastores/lake/paths/rows"))

    job = server.with_default().invoke(path)

    assert server.checked == [(uri, kind)]
    assert job.spec.inputs["data"] == JobInput(path=uri, type=kind)


def test_an_upload_can_be_an_input(server):
    job = server.with_default().invoke(server.upload("people", {"a.csv": b"1"}))

    assert job.spec.inputs["data"].path.endswith("/people")
    assert job.spec.inputs["data"].path.startswith("file://")


@pytest.mark.parametrize(
    ("inputs", "error", "told"),
    [
        pytest.param({}, InvocationError, "exactly one data input; it has none", id="none"),
        pytest.param({"a": "/a", "b": "/b"}, InvocationError, "it has 2: a, b", id="two"),
        pytest.param({"a": "data/"}, SpecError, "'data/' is relative", id="relative"),
        pytest.param({"a": ""}, SpecError, "the uri of input 'a' is missing", id="empty"),
        pytest.param({"a": "azureml:nobody:1"}, NotFound, "nobody", id="no such asset"),
        pytest.param({"a": "azureml://datastores/gone/paths/x"}, NotFound, "gone", id="no such datastore"),
        pytest.param({"a": "azureml://elsewhere/x"}, SpecError, "names no place on this server", id="no such place"),
        pytest.param({"a": f"upload://{'a' * 64}/x"}, NotFound, "has not been uploaded", id="no such upload"),
        pytest.param({"a": "upload://../x"}, SpecError, "is not an upload", id="no upload at all"),
    ],
)
def test_inputs_that_cannot_be_used_make_no_job(server, inputs, error, told):
    server.with_default()

    with pytest.raises(error, match=told):
        server.invoke(inputs={name: {"path": path} for name, path in inputs.items()})

    assert server.jobs.list(page=Page()).items == []


def test_an_mltable_is_read_once_and_frozen_with_uris(server):
    server.with_default()
    table = b"paths: [{file: a.csv}, {file: 's3://lake/b.csv'}]\ntransformations: [read_delimited]\n"
    uri = server.upload("t", {"MLTable": table, "a.csv": b"a\n1\n"})

    job = server.invoke(inputs={"data": {"type": "MLTable", "path": uri}})

    assert job.spec.inputs["data"].type == "mltable"
    inside, outside = job.spec.table.paths
    assert Path(inside.file).read_bytes() == b"a\n1\n"
    assert outside.file == "s3://lake/b.csv"
    assert server.checked == [(inside.file, "mltable")]


@pytest.mark.parametrize(
    ("table", "error", "told"),
    [
        (
            b"paths: [{file: /etc/passwd}]",
            Refused,
            "a path of the MLTable: '/etc/passwd' is a path on the server's disk",
        ),
        (b"paths: [{file: 'azureml://datastores/gone/paths/a'}]", NotFound, "gone"),
        (b"paths: [{file: a}]\ntransformations: [shuffle]", SpecError, "shuffle"),
        (b"paths: [{file: a", SpecError, "MLTable"),
    ],
)
def test_an_mltable_opens_nothing_that_a_request_could_not(tmp_path, table, error, told):
    server = Server(tmp_path, local_paths=False).with_default()
    uri = server.upload("t", {"MLTable": table})

    with pytest.raises(error, match=told):
        server.invoke(inputs={"data": {"type": "mltable", "path": uri}})


@pytest.mark.parametrize("local_paths", [True, False])
def test_a_job_for_somebody_elsewhere_opens_what_was_uploaded_for_it_alone(tmp_path, local_paths):
    server = Server(tmp_path, local_paths=local_paths).with_default()
    uri = server.upload("t", {"MLTable": b"paths: [{file: a}]", "a": b"1"})

    spec = server.invoke(inputs={"data": {"type": "mltable", "path": uri}}).spec

    used = {spec.inputs["data"].path, spec.deployment.model.path, spec.deployment.code_configuration.code}
    paths = {spec.table.paths[0].path, *(str(local_path(one)) for one in used)}
    assert spec.open_folders == (None if local_paths else tuple(sorted(paths)))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("mlflow_model", "MLFlowModelJobInput"),
        ("custom_model", "CustomModelJobInput"),
    ],
)
def test_input_types_that_are_not_supported_are_refused_in_azures_words(server, kind, name):
    server.with_default()

    with pytest.raises(InvocationError) as error:
        server.invoke(inputs={"data": {"type": kind, "path": "/data"}})

    assert (
        f"job input type '{name}' is not supported. The supported types are: UriFileJobInput, UriFolderJobInput"
    ) in str(error.value)


def test_literals_stand_beside_the_data(server):
    job = server.with_default().invoke(
        inputs={"data": {"path": "/data"}, "depth": {"type": "integer", "value": 3}},
    )

    assert job.spec.inputs["depth"].value == 3
    assert job.spec.deployment.settings.environment_variables == {"BATCH_INPUT_DEPTH": "3"}
    assert server.checked == [("file:///data", "uri_folder")]


def test_unreadable_input_makes_no_job(tmp_path):
    server = Server(tmp_path)
    server.control_plane = ControlPlane(server.store, jobs_root=tmp_path, uploads_root=tmp_path / "uploads")
    server.with_default()

    with pytest.raises(InputError, match="does not exist"):
        server.control_plane.jobs.invoke("heart", Invocation(inputs={"d": JobInput(path=str(tmp_path / "gone"))}))

    assert server.jobs.list(page=Page()).items == []


@pytest.mark.parametrize(
    ("output", "existing"),
    [
        pytest.param({"type": "uri_file", "path": "OUT/p.csv"}, "p.csv", id="a file"),
        pytest.param({"type": "uri_folder", "path": "OUT"}, "predictions.csv", id="a folder with the file"),
    ],
)
def test_an_output_that_exists_is_replaced_only_on_request(server, tmp_path, output, existing):
    server.with_default()
    output = {**output, "path": output["path"].replace("OUT", str(tmp_path / "out"))}
    (tmp_path / "out").mkdir()
    server.invoke(outputs={"score": output})
    (tmp_path / "out" / existing).write_text("rows")

    with pytest.raises(Conflict, match="exists already"):
        server.invoke(outputs={"score": output})

    assert server.invoke(outputs={"score": output}, overwrite=True).spec.overwrite


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        pytest.param({"a": {}, "b": {}}, "has one output, not 2: a, b", id="two"),
        pytest.param({"a": {"path": "out/"}}, "'out/' is relative", id="relative"),
        pytest.param({"a": {"path": f"upload://{'a' * 64}/x"}}, "nothing can be written", id="an upload"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(server, outputs, told):
    server.with_default()

    with pytest.raises((InvocationError, SpecError), match=told):
        server.invoke(outputs=outputs)


def test_a_job_name_is_taken_once(server):
    server.with_default().invoke(name="nightly")

    with pytest.raises(Conflict, match="nightly"):
        server.invoke(name="nightly")


def test_a_request_id_gives_the_same_job_whatever_has_changed_since(server):
    job = server.with_default().invoke(request_id="r1")
    server.move(job.name, "Running")
    server.endpoints.delete("heart")

    assert server.invoke(request_id="r1").name == job.name


@pytest.mark.parametrize("named", [{}, {"name": "nightly"}], ids=["without a name", "with a name"])
def test_concurrent_requests_with_one_id_make_one_job(server, named):
    server.with_default()
    together = threading.Barrier(20)
    jobs = []

    def invoke():
        together.wait(timeout=10)
        jobs.append(server.invoke(request_id="r1", **named))

    threads = [threading.Thread(target=invoke) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    assert len(jobs) == 20
    assert len({job.name for job in jobs}) == 1
    assert len(server.jobs.list(page=Page()).items) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"path": "/elsewhere"}, "another request", id="another input"),
        pytest.param({"name": "nightly"}, "another request", id="another name"),
        pytest.param({"deployment": "v-1"}, "another request", id="a deployment named"),
    ],
)
def test_a_request_id_belongs_to_one_body(server, changes, why):
    path = changes.pop("path", "/data")
    job = server.with_default().invoke("/data", request_id="r1", tags={"a": "1", "b": "2"})
    assert server.invoke("/data", request_id="r1", tags={"b": "2", "a": "1"}).name == job.name
    with pytest.raises(Conflict, match=why):
        server.invoke(path, request_id="r1", tags={"a": "1", "b": "2"}, **changes)
    assert len(server.jobs.list(page=Page()).items) == 1


def test_an_endpoint_and_a_deployment_are_found_by_any_case_of_their_names(server):
    server.with_default()
    assert not server.endpoints.put(BatchEndpoint(name="HEART", defaults={"deployment_name": "V-1"}))
    job = server.jobs.invoke("Heart", Invocation(inputs={"data": JobInput(path="/data")}), deployment="V-1")
    assert (job.endpoint_name, job.deployment_name) == ("heart", "v-1")
    assert server.jobs.invoke("HEART", Invocation(inputs={"data": JobInput(path="/data")})).deployment_name == "v-1"
    assert server.jobs.get(job.name, "HEART") == job
    assert len(server.jobs.list(endpoint="HEART", deployment="V-1", page=Page()).items) == 2
    with pytest.raises(Conflict, match="is the default"):
        server.deployments.delete("HEART", "V-1")


def test_a_request_id_belongs_to_one_endpoint(server):
    server.with_default().invoke(request_id="r1")
    with pytest.raises(NotFound, match="no endpoint 'lungs'"):
        server.jobs.invoke("lungs", Invocation(inputs={"data": JobInput(path="/data")}), request_id="r1")


@pytest.mark.parametrize("name", ["x" * 119, "v2--step", "v2--", "größe", "-v2", "a/b", ""])
def test_a_name_that_no_job_can_have_is_refused(server, name):
    with pytest.raises(ValidationError, match="at most 118"):
        server.with_default().invoke(name=name)


def test_folder_and_launches_of_a_job_do_not_follow_from_its_name(server):
    job = server.with_default().invoke(name="x" * 118)
    other = server.invoke(name="v2-launch-2")
    assert job.folder.endswith(f"/{job.uid}")
    assert len({job.launch_id, other.launch_id, "v2-launch-2"}) == 3


def test_a_request_id_of_endless_length_is_refused(server):
    with pytest.raises(InvocationError, match="255 at most"):
        server.with_default().invoke(request_id="r" * 256)


@pytest.mark.parametrize("ended", ["Failed", "Canceled"])
def test_a_job_that_has_ended_is_resumed_with_other_settings(server, ended):
    job = server.with_default().invoke()
    server.store.update_job(job.name, lambda now: now.replaced(status=ended, launches=3))

    resumed = server.jobs.resume(job.name, Invocation.model_validate({"retry_settings": {"timeout": 99}}))

    assert resumed.status == "NotStarted"
    assert resumed.spec.deployment.settings.retry_settings.timeout == 99
    assert (resumed.spec.resumption, resumed.launches, resumed.launches_before) == (1, 3, 3)


@pytest.mark.parametrize(
    ("succeeded", "failed", "rows", "threshold", "retries"),
    [(2, 3, 0, 1, 1), (2, 0, 3, 1, 1), (0, 5, 0, -1, 1), (2, 3, 0, 3, 0), (2, 3, 0, -1, 0), (2, 0, 0, 0, 0)],
)
def test_a_job_that_would_end_by_its_failed_items_at_once_is_resumed_with_these(
    server, succeeded, failed, rows, threshold, retries
):
    job = server.with_default().invoke()
    progress = Progress(items=9, items_succeeded=succeeded, items_failed=failed, rows_failed=rows)
    state = JobState(status="Failed", progress=progress)
    server.store.update_job(job.name, lambda now: now.replaced(status="Failed", state=state))

    resumed = server.jobs.resume(job.name, Invocation.model_validate({"error_threshold": threshold}))

    assert (resumed.spec.retries, resumed.spec.resumption) == (retries, 1)


@pytest.mark.parametrize("status", ["NotStarted", "Running", "CancelRequested", "Completed"])
def test_a_job_that_has_nothing_to_go_on_with_is_not_resumed(server, status):
    job = server.with_default().invoke()
    server.move(job.name, status)

    with pytest.raises(Conflict, match=job.name):
        server.jobs.resume(job.name, Invocation())


def test_what_a_job_has_done_cannot_be_changed_by_resuming_it(server):
    job = server.with_default().invoke()
    server.move(job.name, "Failed")

    with pytest.raises(InvocationError, match="cannot change mini_batch_size"):
        server.jobs.resume(job.name, Invocation.model_validate({"mini_batch_size": 3}))


def ended_with_failures(server, status, failed=2, outputs=None):
    """A job with so many failed items."""
    job = server.with_default().invoke()
    state = JobState(status=status, progress=Progress(items=5, items_failed=failed), outputs=outputs or {})
    return server.store.update_job(job.name, lambda now: now.replaced(status=status, state=state, launches=2))


@pytest.mark.parametrize("status", ["Completed", "Failed", "Canceled"])
def test_failed_items_of_a_job_that_has_ended_are_tried_again_with_other_settings(server, status):
    job = ended_with_failures(server, status)

    again = server.jobs.retry_failed(job.name, Invocation.model_validate({"error_threshold": 7}))

    assert again.status == "NotStarted"
    assert again.spec.deployment.settings.error_threshold == 7
    assert (again.spec.retries, again.spec.resumption, again.launches_before) == (1, 1, 2)
    assert again.state.progress.items_failed == 2


def test_failed_rows_alone_are_tried_again_as_well(server):
    job = ended_with_failures(server, "Completed", failed=0)
    state = job.state.model_copy(update={"progress": Progress(items=5, rows_failed=3)})
    server.store.update_job(job.name, lambda now: now.replaced(state=state))
    assert server.jobs.retry_failed(job.name, Invocation()).spec.retries == 1


def test_failed_items_are_not_tried_again_where_there_are_none_or_the_job_goes_on(server):
    job = ended_with_failures(server, "Completed", failed=0)
    with pytest.raises(Conflict, match=f"job '{job.name}' has no failed items"):
        server.jobs.retry_failed(job.name, Invocation())
    job = ended_with_failures(server, "Failed")
    with pytest.raises(InvocationError, match="cannot change mini_batch_size"):
        server.jobs.retry_failed(job.name, Invocation.model_validate({"mini_batch_size": 3}))
    server.jobs.retry_failed(job.name, Invocation())
    with pytest.raises(Conflict, match="is NotStarted"):
        server.jobs.retry_failed(job.name, Invocation())


def test_the_output_of_a_completed_job_is_there_while_failed_items_are_tried_again_and_when_that_fails(server):
    job = ended_with_failures(server, "Completed", outputs={"score": JobOutput(path="file:///out")})
    server.jobs.retry_failed(job.name, Invocation())
    assert server.jobs.output(job.name, "score") == "file:///out"

    failed = JobState(status="Failed", progress=Progress(items=5, items_failed=2))
    server.store.update_job(job.name, lambda now: now.replaced(status="Failed", state=failed))
    server.jobs.retry_failed(job.name, Invocation())
    assert server.jobs.output(job.name, "score") == "file:///out"

    never = ended_with_failures(server, "Failed")
    server.jobs.retry_failed(never.name, Invocation())
    with pytest.raises(Conflict, match="its outputs are not there"):
        server.jobs.output(never.name, "score")


def test_what_a_deployment_uses_is_not_deleted_under_it(server):
    server.with_default()
    model = server.deployments.get("heart", "v-1").model.split(":")[1]

    with pytest.raises(Conflict, match="is used by deployment 'v-1' of endpoint 'heart'"):
        server.control_plane.assets.delete("models", model, "1")

    server.endpoints.delete("heart")
    server.control_plane.assets.delete("models", model, "1")


def test_the_failed_items_of_a_job_are_those_in_its_folder(server):
    job = server.with_default().invoke()
    assert server.jobs.failed_items(job.name) == b""

    folder = local_path(job.folder)
    folder.mkdir(parents=True)
    (folder / "failed_items.jsonl").write_text('{"file": "a.csv"}\n')
    assert server.jobs.failed_items(job.name) == b'{"file": "a.csv"}\n'


def test_a_job_belongs_to_one_endpoint(server):
    job = server.with_default().invoke()

    with pytest.raises(NotFound, match="It belongs to endpoint 'heart'"):
        server.jobs.get(job.name, "lung")
    with pytest.raises(NotFound, match="lung"):
        server.jobs.list(endpoint="lung", page=Page())
    with pytest.raises(NotFound, match="v-9"):
        server.jobs.list(endpoint="heart", deployment="v-9", page=Page())


def test_a_job_that_has_not_started_is_canceled_at_once(server):
    job = server.jobs.cancel(server.with_default().invoke().name)

    assert (job.status, job.state.status, job.state.ended_at) == ("Canceled", "Canceled", NOW)


@pytest.mark.parametrize("status", ["Starting", "Preparing", "Running", "Finalizing", "CancelRequested"])
def test_a_job_that_runs_is_asked_to_end(server, status):
    job = server.with_default().invoke()
    server.move(job.name, status)

    assert server.jobs.cancel(job.name).status == "CancelRequested"
    assert server.jobs.get(job.name).status == "CancelRequested"


@pytest.mark.parametrize("status", ["Completed", "Failed", "Canceled"])
def test_a_job_that_has_ended_cannot_be_canceled(server, status):
    job = server.with_default().invoke()
    server.move(job.name, status)

    with pytest.raises(Conflict, match=f"has ended \\({status}\\)"):
        server.jobs.cancel(job.name)


# what they share


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [
        # the examples of RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_rfc_7396(document, patch, merged):
    assert merge_patch(document, patch) == merged


def test_everything_reads_all_pages():
    store = MemoryRecordStore()
    for number in range(7):
        store.save_endpoint(BatchEndpoint(name=f"end-{number}"))

    found = everything(lambda page: store.endpoints(Page(top=3, after=page.after)))

    assert [endpoint.name for endpoint in found] == [f"end-{number}" for number in range(7)]


def test_code_may_be_a_folder_of_the_server(server, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_bytes(SCRIPT)
    deployment = server.scripted()
    code = CodeConfiguration(code=str(tmp_path / "src"), scoring_script="score.py")

    server.deployments.put(deployment.model_copy(update={"code_configuration": code}))

    job = server.invoke(deployment="v-1")
    assert job.spec.deployment.code_configuration.code == (tmp_path / "src").as_uri()
