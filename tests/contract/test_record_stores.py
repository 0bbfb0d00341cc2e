"""What every record store promises, held against the one in memory, SQLite and PostgreSQL."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest

from batch_endpoints.errors import Conflict, NotFound, SpecError
from batch_endpoints.interfaces.records import Page
from batch_endpoints.records import open_store
from batch_endpoints.specs import (
    COMPONENT,
    BatchEndpoint,
    BatchJob,
    CodeConfiguration,
    CommandComponent,
    Compute,
    Credentials,
    Data,
    Datastore,
    Defaults,
    Environment,
    JobError,
    JobInput,
    JobOutput,
    JobState,
    Model,
    ModelDeployment,
    ModelDeploymentSettings,
    PipelineComponentDeployment,
    Progress,
    RetrySettings,
    ScoringJob,
)

NOW = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def opened():
    """The stores that stay open from test to test, by URL: a new one has to prepare each of its queries again."""
    stores = {}
    yield stores
    for store in stores.values():
        store.close()


@pytest.fixture
def store(any_url, opened):
    return open_store(any_url) if any_url == "memory://" else shared(any_url, opened)


@pytest.fixture
def shared_store(shared_url, opened):
    return shared(shared_url, opened)


def shared(url, opened):
    if url not in opened:
        opened[url] = open_store(url)
    return opened[url]


@pytest.fixture(scope="module")
def processes():
    """Two processes that do what they are told; they start with nothing of ours."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def model_deployment(name="xgb-v1", endpoint="heart", **values):
    return ModelDeployment(name=name, endpoint_name=endpoint, model="azureml:heart:1", **values)


def job(name, endpoint="heart", deployment="xgb-v1", **values):
    spec = ScoringJob(
        name=name,
        endpoint_name=endpoint,
        deployment=model_deployment(deployment, endpoint).model_copy(update={"model": Model(path="file:///m")}),
        inputs={"zeta": JobInput(path="s3://b/in"), "alpha": JobInput(type="literal", value=0.5)},
    )
    values = {"created_at": NOW, "modified_at": NOW, "folder": f"file:///jobs/{name}", **values}
    return BatchJob(name=name, endpoint_name=endpoint, deployment_name=deployment, spec=spec, **values)


def names(listing):
    return [item.name for item in listing.items]


def at_once(count, call):
    """What ``call(0)``, ``call(1)``… return, each called in its thread at the same time as the others."""
    start = threading.Barrier(count)

    def started(index):
        start.wait()
        return call(index)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(started, range(count)))


def whole_list(ask, between=lambda: None, top=2):
    """All pages of a list, one after the other; ``between`` happens after each."""
    found, after = [], ""
    while True:
        page = ask(Page(top=top, after=after))
        assert len(page.items) <= top
        found += page.items
        if not page.next:
            return found
        after = page.next
        between()


# ---- endpoints and deployments ----------------------------------------------------------------------------------


def test_an_endpoint_comes_back_as_it_was_saved(store):
    endpoint = BatchEndpoint(
        name="heart",
        description="Heart disease, ♥",
        tags={"zeta": "1", "alpha": "2"},
        defaults=Defaults(deployment_name="xgb-v1"),
        identity={"type": "system_assigned"},
    )
    store.save_endpoint(endpoint)
    assert store.endpoint("heart") == endpoint
    assert list(store.endpoint("heart").tags) == ["zeta", "alpha"]


def test_saving_an_endpoint_again_replaces_it_and_keeps_its_deployments(store):
    store.save_endpoint(BatchEndpoint(name="heart"))
    store.save_deployment(model_deployment())
    store.save_endpoint(BatchEndpoint(name="heart", description="new"))
    assert store.endpoint("heart").description == "new"
    assert names(store.endpoints()) == ["heart"]
    assert names(store.deployments("heart")) == ["xgb-v1"]


@pytest.mark.parametrize(
    "deployment",
    [
        pytest.param(model_deployment(), id="model without script"),
        pytest.param(
            model_deployment(
                description="with everything",
                code_configuration=CodeConfiguration(code="file:///code", scoring_script="score.py"),
                environment=Environment(
                    name="env", conda_file={"dependencies": ["python=3.10", {"pip": ["xgboost"]}]}
                ),
                compute="azureml:cpu-cluster",
                settings=ModelDeploymentSettings(
                    mini_batch_size="64MB",
                    output_action="summary_only",
                    retry_settings=RetrySettings(max_retries=0, timeout=300),
                    environment_variables={"B": "1", "A": "2"},
                ),
            ),
            id="model with everything",
        ),
        pytest.param(
            PipelineComponentDeployment(name="graph", endpoint_name="heart", component="azureml:prepare_and_score:1"),
            id="pipeline",
        ),
    ],
)
def test_a_deployment_comes_back_as_it_was_saved(store, deployment):
    store.save_endpoint(BatchEndpoint(name="heart"))
    store.save_deployment(deployment)
    assert store.deployment("heart", deployment.name) == deployment
    assert list(store.deployments("heart").items) == [deployment]


def test_saving_a_deployment_again_replaces_it(store):
    store.save_endpoint(BatchEndpoint(name="heart"))
    store.save_deployment(model_deployment())
    store.save_deployment(model_deployment(description="new"))
    assert [found.description for found in store.deployments("heart").items] == ["new"]


def test_endpoints_have_deployments_of_one_name_each_for_itself(store):
    for endpoint in ("heart", "lung"):
        store.save_endpoint(BatchEndpoint(name=endpoint))
        store.save_deployment(model_deployment("xgb-v1", endpoint, description=endpoint))
    store.delete_deployment("heart", "xgb-v1")
    assert store.deployment("lung", "xgb-v1").description == "lung"
    assert names(store.deployments("heart")) == []


def test_a_deployment_needs_its_endpoint(store):
    store.save_endpoint(BatchEndpoint(name="lung"))
    with pytest.raises(NotFound, match="there is no endpoint 'heart'"):
        store.save_deployment(model_deployment())
    store.save_endpoint(BatchEndpoint(name="heart"))
    assert names(store.deployments("heart")) == []


def test_names_of_endpoints_and_deployments_are_one_whatever_their_case(store):
    store.save_endpoint(BatchEndpoint(name="eyam-3"))
    assert store.save_endpoint(BatchEndpoint(name="EYAM-3", description="new")).name == "eyam-3"
    store.save_deployment(model_deployment("Xgb", "Eyam-3"))
    assert store.save_deployment(model_deployment("XGB", "EYAM-3", description="new")).name == "Xgb"
    assert names(store.endpoints()) == ["eyam-3"]
    assert store.endpoint("EYAM-3").description == "new"
    assert names(store.deployments("EYAM-3")) == ["Xgb"]
    assert store.deployment("EYAM-3", "xgb").description == "new"
    store.update_deployment("EYAM-3", "XGB", lambda one: one.model_copy(update={"description": "newer"}))
    assert store.deployment("eyam-3", "Xgb").description == "newer"
    store.update_endpoint("EYAM-3", lambda one: one.model_copy(update={"description": "newer"}))
    store.delete_deployment("EYAM-3", "XGB")
    assert names(store.deployments("eyam-3")) == []
    store.delete_endpoint("EYAM-3")
    assert names(store.endpoints()) == []


def test_deleting_an_endpoint_deletes_its_deployments_and_keeps_its_jobs(store):
    store.save_endpoint(BatchEndpoint(name="heart"))
    store.save_deployment(model_deployment())
    store.add_job(job("run-1"))
    store.delete_endpoint("heart")
    with pytest.raises(NotFound, match="there is no endpoint 'heart'"):
        store.deployment("heart", "xgb-v1")
    assert names(store.jobs(endpoint="heart")) == ["run-1"]
    store.save_endpoint(BatchEndpoint(name="heart"))
    assert names(store.deployments("heart")) == []


def test_an_endpoint_deleted_while_deployments_are_saved_leaves_none_behind(store):
    store.save_endpoint(BatchEndpoint(name="heart"))

    def save_or_delete(index):
        if index == 0:
            store.delete_endpoint("heart")
        else:
            with suppress(NotFound):
                store.save_deployment(model_deployment(f"v-{index}"))

    at_once(6, save_or_delete)
    store.save_endpoint(BatchEndpoint(name="heart"))
    assert names(store.deployments("heart")) == []


# ---- what is not there ------------------------------------------------------------------------------------------

MISSING = {
    "endpoint": (
        lambda store: store.endpoint("lung"),
        "there is no endpoint 'lung'",
        "There are: heart, liver.",
    ),
    "deleted endpoint": (
        lambda store: store.delete_endpoint("lung"),
        "there is no endpoint 'lung'",
        "There are: heart, liver.",
    ),
    "deployments of no endpoint": (
        lambda store: store.deployments("lung"),
        "there is no endpoint 'lung'",
        "There are: heart, liver.",
    ),
    "deployment": (
        lambda store: store.deployment("heart", "xgb-v3"),
        "endpoint 'heart' has no deployment 'xgb-v3'",
        "It has: xgb-v1, xgb-v2.",
    ),
    "deleted deployment": (
        lambda store: store.delete_deployment("heart", "xgb-v3"),
        "endpoint 'heart' has no deployment 'xgb-v3'",
        "It has: xgb-v1, xgb-v2.",
    ),
    "deployment of an empty endpoint": (
        lambda store: store.deployment("liver", "xgb-v3"),
        "endpoint 'liver' has no deployment 'xgb-v3'",
        "It has none yet.",
    ),
    "asset": (
        lambda store: store.asset("models", "heart-v2"),
        "there is no model 'heart-v2'",
        "There is: heart-v1.",
    ),
    "asset of a kind without any": (
        lambda store: store.asset("data", "patients"),
        "there is no data asset 'patients'",
        "There is none yet.",
    ),
    "version": (
        lambda store: store.asset("models", "heart-v1", "7"),
        "model 'heart-v1' has no version '7'",
        "It has: 2, 1.",
    ),
    "versions of no asset": (
        lambda store: store.versions("models", "heart-v2"),
        "there is no model 'heart-v2'",
        "There is: heart-v1.",
    ),
    "deleted version": (
        lambda store: store.delete_asset("models", "heart-v1", "7"),
        "model 'heart-v1' has no version '7'",
        "It has: 2, 1.",
    ),
    "deleted asset": (
        lambda store: store.delete_asset("models", "heart-v2"),
        "there is no model 'heart-v2'",
        "There is: heart-v1.",
    ),
    "compute": (
        lambda store: store.asset("computes", "gpu"),
        "there is no compute 'gpu'",
        "There are: cpu-cluster, local.",
    ),
    "version of a compute": (
        lambda store: store.asset("computes", "cpu-cluster", "1"),
        "compute 'cpu-cluster' has no version '1'",
        "A compute has no versions: leave it out.",
    ),
    "job": (lambda store: store.job("run-9"), "there is no job 'run-9'", "The newest: run-2, run-1."),
    "updated job": (
        lambda store: store.update_job("run-9", lambda found: found),
        "there is no job 'run-9'",
        "The newest: run-2, run-1.",
    ),
}


@pytest.mark.parametrize(("ask", "what", "mend"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named_with_what_there_is(store, ask, what, mend):
    for endpoint in ("liver", "heart"):
        store.save_endpoint(BatchEndpoint(name=endpoint))
    for deployment in ("xgb-v2", "xgb-v1"):
        store.save_deployment(model_deployment(deployment))
    for _ in range(2):
        store.save_asset("models", Model(name="heart-v1"))
    store.save_asset("computes", Compute(name="cpu-cluster"))
    for run in ("run-1", "run-2"):
        store.add_job(job(run))

    with pytest.raises(NotFound) as caught:
        ask(store)

    assert (caught.value.what, caught.value.mend) == (what, mend)


def test_of_many_names_some_are_named(store):
    for number in range(12):
        store.save_endpoint(BatchEndpoint(name=f"heart-{number:02}"))
    with pytest.raises(NotFound, match="heart-08, heart-09 and 2 more"):
        store.endpoint("lung")


@pytest.mark.parametrize("name", ["he\x00art", "he\udcffart"], ids=["zero byte", "half a pair"])
def test_a_name_that_no_database_holds_is_no_crash(store, name):
    with pytest.raises((NotFound, SpecError)):
        store.endpoint(name)


# ---- assets -----------------------------------------------------------------------------------------------------

ASSETS = [
    ("models", Model(name="heart", version="1", path="s3://b/m", type="mlflow_model", flavors={"sklearn": {"v": 1}})),
    ("data", Data(name="patients", version="2026-05", path="s3://b/p", type="uri_file", tags={"a": "b"})),
    ("environments", Environment(name="env", version="3", requirements=["numpy<2"], python="/usr/bin/python3")),
    ("components", CommandComponent(name="prepare", version="1", command="python prepare.py ${{inputs.raw}}")),
    (
        "components",
        COMPONENT.validate_python(
            {
                "type": "parallel",
                "name": "score",
                "version": "1",
                "task": {"entry_script": "score.py"},
                "inputs": {"raw": {"type": "uri_folder"}, "limit": {"type": "number", "default": 0.5, "max": 1}},
            }
        ),
    ),
    (
        "components",
        COMPONENT.validate_python(
            {
                "type": "pipeline",
                "name": "both",
                "version": "1",
                "jobs": {
                    "zeta": {"component": "azureml:prepare:1", "inputs": {"raw": "${{parent.inputs.raw}}"}},
                    "alpha": {"component": "azureml:score:1", "inputs": {"limit": 1, "flag": True}},
                },
            }
        ),
    ),
    (
        "datastores",
        Datastore(
            name="lake", account_name="acc", container_name="c", credentials=Credentials(account_key="env:LAKE_KEY")
        ),
    ),
    ("computes", Compute(name="cpu-cluster", size="Standard_D4", tier="low_priority", max_instances=8)),
]


@pytest.mark.parametrize(("kind", "asset"), ASSETS, ids=[f"{type(asset).__name__}" for _, asset in ASSETS])
def test_an_asset_comes_back_as_it_was_saved(store, kind, asset):
    assert store.save_asset(kind, asset) == asset
    assert store.asset(kind, asset.name) == asset
    assert store.asset(kind, asset.name, getattr(asset, "version", "latest")) == asset
    assert list(store.assets(kind).items) == list(store.versions(kind, asset.name).items) == [asset]


def test_kinds_of_assets_do_not_see_each_other(store):
    store.save_asset("models", Model(name="heart", version="1"))
    store.save_asset("data", Data(name="heart", version="5", path="s3://b/p"))
    store.delete_asset("models", "heart")
    assert store.asset("data", "heart").version == "5"
    assert names(store.assets("models")) == []


def test_saving_a_version_again_replaces_it_and_does_not_make_it_the_latest(store):
    store.save_asset("models", Model(name="heart", version="1"))
    store.save_asset("models", Model(name="heart", version="2"))
    store.save_asset("models", Model(name="heart", version="1", description="mended"))
    assert store.asset("models", "heart").version == "2"
    assert store.asset("models", "heart", "latest").version == "2"
    assert store.asset("models", "heart", "1").description == "mended"
    assert [found.version for found in store.versions("models", "heart").items] == ["2", "1"]
    assert [found.version for found in store.assets("models").items] == ["2"]


def test_the_latest_version_is_the_one_created_last_and_not_the_greatest(store):
    for version in ("10", "weekly", "9"):
        store.save_asset("models", Model(name="heart", version=version))
    assert store.asset("models", "heart").version == "9"
    store.delete_asset("models", "heart", "9")
    assert store.asset("models", "heart").version == "weekly"
    store.save_asset("models", Model(name="heart", version="9"))
    assert store.asset("models", "heart").version == "9"


def test_saving_what_has_no_versions_replaces_it(store):
    store.save_asset("computes", Compute(name="cpu", max_instances=1))
    saved = store.save_asset("computes", Compute(name="cpu", max_instances=2))
    assert store.asset("computes", "cpu") == saved
    assert len(store.versions("computes", "cpu").items) == 1


@pytest.mark.parametrize(
    ("taken", "then"),
    [
        pytest.param([], "1", id="first"),
        pytest.param(["1", "2"], "3", id="counted up"),
        pytest.param(["9", "10", "2"], "11", id="as a number and not as text"),
        pytest.param(["7", "weekly", "2026-05"], "8", id="names do not count"),
        pytest.param(["weekly"], "1", id="only names"),
        pytest.param(["99999999999999999999"], "100000000000000000000", id="more than a database counts to"),
    ],
)
def test_an_asset_without_a_version_gets_the_next_number(store, taken, then):
    for version in taken:
        store.save_asset("models", Model(name="heart", version=version))
    saved = store.save_asset("models", Model(name="heart", description="new"))
    assert (saved.version, saved.description) == (then, "new")
    assert store.asset("models", "heart") == store.asset("models", "heart", then) == saved


def test_concurrent_saves_without_a_version_each_get_their_own(store):
    saved = at_once(8, lambda index: [store.save_asset("models", Model(name="heart")).version for _ in range(3)])
    versions = [version for each in saved for version in each]
    assert sorted(versions, key=int) == [str(number) for number in range(1, 25)]
    assert [found.version for found in store.versions("models", "heart").items] == [str(n) for n in range(24, 0, -1)]


@pytest.mark.parametrize(
    ("version", "left"),
    [("2", ["3", "1"]), ("latest", ["2", "1"]), ("", [])],
    ids=["one", "the latest", "all"],
)
def test_deleting_takes_one_version_or_all_of_them(store, version, left):
    for _ in range(3):
        store.save_asset("models", Model(name="heart"))
    store.save_asset("models", Model(name="lung"))
    store.delete_asset("models", "heart", version)
    assert names(store.assets("models")) == (["heart", "lung"] if left else ["lung"])
    if left:
        assert [found.version for found in store.versions("models", "heart").items] == left


def test_an_asset_without_a_version_left_is_gone(store):
    store.save_asset("models", Model(name="heart"))
    store.delete_asset("models", "heart", "1")
    assert names(store.assets("models")) == []
    with pytest.raises(NotFound, match="there is no model 'heart'"):
        store.asset("models", "heart")


# ---- jobs -------------------------------------------------------------------------------------------------------


def test_a_job_comes_back_as_it_was_added(store):
    added = job(
        "run-1",
        status="Failed",
        display_name="nightly",
        tags={"b": "1", "a": "2"},
        created_by="anna",
        modified_at=NOW + timedelta(hours=3),
        launches=2,
        state=JobState(
            status="Failed",
            progress=Progress(mini_batches=10, items=100, items_failed=3, items_per_second=1.25, eta_seconds=None),
            started_at=NOW,
            ended_at=NOW + timedelta(minutes=1),
            error=JobError(code="InitFailed", message="score.py:3: no module 'xgboost'"),
            notes=("one", "two"),
            outputs={"score": JobOutput(path="s3://b/out")},
            seconds={"Preparing": 1.5},
        ),
    )
    assert store.add_job(added) == added
    assert store.job("run-1") == added
    assert list(store.job("run-1").spec.inputs) == ["zeta", "alpha"]
    assert list(store.jobs().items) == [added]


def test_a_request_id_makes_one_job(store):
    first = store.add_job(job("run-1"), "request-1")
    assert store.add_job(job("run-2"), "request-1") == first
    assert store.job_of_request("heart", "request-1") == first
    assert names(store.jobs()) == ["run-1"]


def test_a_request_that_comes_again_gets_the_job_as_it_is_now(store):
    store.add_job(job("run-1"), "request-1")
    store.update_job("run-1", lambda found: found.replaced(status="Running"))
    assert store.add_job(job("run-1"), "request-1").status == "Running"
    assert store.job_of_request("heart", "request-1").status == "Running"


def test_a_request_id_belongs_to_one_endpoint(store):
    for endpoint in ("heart", "iris"):
        store.save_endpoint(BatchEndpoint(name=endpoint))
    first = store.add_job(job("run-1"), "request-1", "body-1")
    assert store.job_of_request("iris", "request-1", "body-2") is None
    other = store.add_job(job("run-2", "iris"), "request-1", "body-2")
    assert store.job_of_request("heart", "request-1") == first
    assert store.job_of_request("iris", "request-1") == other


def test_a_request_id_belongs_to_one_body(store):
    first = store.add_job(job("run-1"), "request-1", "body-1")
    assert store.add_job(job("run-2"), "request-1", "body-1") == first
    with pytest.raises(Conflict, match="'request-1' belongs to another request of this endpoint, which has made job"):
        store.add_job(job("run-3"), "request-1", "body-2")
    with pytest.raises(Conflict, match="'request-1' belongs"):
        store.job_of_request("heart", "request-1", "body-2")
    assert names(store.jobs()) == ["run-1"]


def test_jobs_without_a_request_id_are_jobs_of_their_own(store):
    store.add_job(job("run-1"))
    store.add_job(job("run-2"))
    assert names(store.jobs()) == ["run-2", "run-1"]
    assert store.job_of_request("heart", "") is None
    assert store.job_of_request("heart", "request-1") is None


@pytest.mark.parametrize("request_id", ["", "request-2"])
def test_the_name_of_a_job_is_taken_once(store, request_id):
    store.add_job(job("run-1"), "request-1")
    with pytest.raises(Conflict, match="there is a job 'run-1' already"):
        store.add_job(job("run-1", description="another"), request_id)
    assert store.job("run-1").description == ""
    assert store.job_of_request("heart", "request-2") is None


def test_of_concurrent_requests_with_one_id_one_makes_the_job(store):
    got = at_once(20, lambda index: store.add_job(job(f"run-{index}"), "request-1"))
    assert len({each.name for each in got}) == 1
    assert list(store.jobs().items) == got[:1]


def test_of_concurrent_jobs_with_one_name_one_is_added(store):
    def add(index):
        try:
            return store.add_job(job("run-1", created_by=str(index)), f"request-{index}")
        except Conflict:
            return None

    (winner,) = [each for each in at_once(10, add) if each]
    assert store.job("run-1") == winner


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["e", "d", "c", "b", "a"]),
        ({"oldest_first": True}, ["a", "b", "c", "d", "e"]),
        ({"endpoint": "heart"}, ["e", "c", "a"]),
        ({"endpoint": "heart", "deployment": "xgb-v2"}, ["e"]),
        ({"statuses": ["NotStarted"]}, ["d", "a"]),
        ({"statuses": ("Running", "Failed"), "oldest_first": True}, ["b", "c", "e"]),
        ({"endpoint": "lung", "statuses": ["Failed"]}, []),
        ({"endpoint": "nowhere"}, []),
    ],
    ids=str,
)
def test_jobs_are_filtered_newest_first(store, filters, found):
    for name, endpoint, deployment, status in (
        ("a", "heart", "xgb-v1", "NotStarted"),
        ("b", "lung", "xgb-v2", "NotStarted"),
        ("c", "heart", "xgb-v1", "Failed"),
        ("d", "lung", "xgb-v1", "NotStarted"),
        ("e", "heart", "xgb-v2", "Running"),
    ):
        store.add_job(job(name, endpoint, deployment, status=status))
    store.update_job("b", lambda before: before.replaced(status="Running"))
    assert names(store.jobs(**filters)) == found


def test_an_update_is_returned_and_stored(store):
    store.add_job(job("run-1"))
    changed = store.update_job("run-1", lambda found: found.replaced(status="Queued", launches=1))
    assert changed.status == "Queued"
    assert store.job("run-1") == changed
    assert names(store.jobs(statuses=["NotStarted"])) == []


def test_what_a_change_raises_is_passed_on_and_nothing_is_written(store):
    store.add_job(job("run-1"))

    def refuse(found):
        raise Conflict("it has ended")

    with pytest.raises(Conflict, match="it has ended"):
        store.update_job("run-1", refuse)
    assert store.job("run-1") == job("run-1")
    assert store.update_job("run-1", lambda found: found.replaced(launches=1)).launches == 1


def launch_again(found):
    return found.replaced(launches=found.launches + 1)


def test_no_update_is_lost_between_threads(store):
    store.add_job(job("run-1"))
    at_once(8, lambda index: [store.update_job("run-1", launch_again) for _ in range(10)])
    assert store.job("run-1").launches == 80


def with_tag(key):
    return lambda found: found.model_copy(update={"tags": {**found.tags, key: "1"}})


def test_no_update_of_an_endpoint_or_a_deployment_is_lost_between_threads(store):
    store.save_endpoint(BatchEndpoint(name="heart"))
    store.save_deployment(model_deployment())

    def tag(index):
        for number in range(5):
            store.update_endpoint("heart", with_tag(f"{index}-{number}"))
            store.update_deployment("heart", "xgb-v1", with_tag(f"{index}-{number}"))

    at_once(6, tag)
    assert len(store.endpoint("heart").tags) == len(store.deployment("heart", "xgb-v1").tags) == 30


def test_an_update_of_what_is_not_there_or_cannot_be_changes_nothing(store):
    store.save_endpoint(BatchEndpoint(name="heart"))
    store.save_deployment(model_deployment())
    with pytest.raises(NotFound, match="no endpoint 'lung'"):
        store.update_endpoint("lung", with_tag("a"))
    with pytest.raises(NotFound, match="no deployment 'xgb-v2'"):
        store.update_deployment("heart", "xgb-v2", with_tag("a"))

    def refuse(found):
        raise Conflict("not now")

    for update in (
        lambda: store.update_endpoint("heart", refuse),
        lambda: store.update_deployment("heart", "xgb-v1", refuse),
    ):
        with pytest.raises(Conflict, match="not now"):
            update()
    assert store.endpoint("heart") == BatchEndpoint(name="heart")
    assert store.deployment("heart", "xgb-v1") == model_deployment()


# ---- pages ------------------------------------------------------------------------------------------------------


def test_names_are_in_the_order_of_their_code_points(store):
    for name in ("abc", "a-c", "aBd", "Abe", "ab1"):
        store.save_endpoint(BatchEndpoint(name=name))
        store.save_asset("models", Model(name=name))
    assert names(store.endpoints()) == names(store.assets("models")) == ["Abe", "a-c", "aBd", "ab1", "abc"]


def test_a_page_that_holds_all_has_no_next(store):
    for name in ("run-1", "run-2"):
        store.add_job(job(name))
    assert store.jobs(page=Page(top=2)).next == ""
    assert store.jobs(page=Page(top=1)).next != ""
    assert store.endpoints() == type(store.endpoints())([], next="")


def test_pages_of_names_stay_in_place_while_others_write(store):
    def fill(add):
        for number in range(1, 6):
            add(f"heart-{number}")

    def check(ask, add, delete):
        def between():
            add("heart-0")  # before this page: not seen any more
            delete("heart-1")

        assert [found.name for found in whole_list(ask, between)] == [f"heart-{number}" for number in range(1, 6)]

    def add_endpoint(name):
        store.save_endpoint(BatchEndpoint(name=name))

    def delete_quietly(delete):
        def quietly(name):
            with suppress(NotFound):
                delete(name)

        return quietly

    fill(add_endpoint)
    fill(lambda name: store.save_deployment(model_deployment(name, "heart-5")))
    fill(lambda name: store.save_asset("models", Model(name=name)))
    check(
        lambda page: store.deployments("heart-5", page),
        lambda name: store.save_deployment(model_deployment(name, "heart-5")),
        delete_quietly(lambda name: store.delete_deployment("heart-5", name)),
    )
    check(store.endpoints, add_endpoint, delete_quietly(store.delete_endpoint))
    check(
        lambda page: store.assets("models", page),
        lambda name: store.save_asset("models", Model(name=name)),
        delete_quietly(lambda name: store.delete_asset("models", name)),
    )


def test_pages_of_versions_stay_in_place_while_others_write(store):
    for _ in range(5):
        store.save_asset("models", Model(name="heart"))
    found = whole_list(
        lambda page: store.versions("models", "heart", page), lambda: store.save_asset("models", Model(name="heart"))
    )
    assert [each.version for each in found] == ["5", "4", "3", "2", "1"]


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_of_jobs_stay_in_place_while_others_write(store, oldest_first):
    for number in range(5):
        store.add_job(job(f"run-{number}"))

    def between():
        if not oldest_first:
            store.add_job(job(f"new-{len(store.jobs().items)}"))
        store.update_job("run-2", launch_again)

    found = whole_list(lambda page: store.jobs(oldest_first=oldest_first, page=page), between)
    order = range(5) if oldest_first else range(4, -1, -1)
    assert [each.name for each in found] == [f"run-{number}" for number in order]


@pytest.mark.parametrize("after", ["run-1", "-1", "1; DROP TABLE jobs", "9" * 30])
def test_a_token_that_no_page_has_given_is_refused(store, after):
    store.save_asset("models", Model(name="heart"))
    with pytest.raises(SpecError, match="is not a place in this list"):
        store.jobs(page=Page(after=after))
    with pytest.raises(SpecError, match="is not a place in this list"):
        store.versions("models", "heart", Page(after=after))


# ---- several processes ------------------------------------------------------------------------------------------


def update_in_process(url, name, times):
    store = open_store(url)
    for _ in range(times):
        store.update_job(name, launch_again)
    store.close()


def add_jobs_in_process(url, prefix, requests):
    store = open_store(url)
    got = [store.add_job(job(f"{prefix}-{request}"), request).name for request in requests]
    store.close()
    return got


def save_models_in_process(url, times):
    store = open_store(url)
    got = [store.save_asset("models", Model(name="heart")).version for _ in range(times)]
    store.close()
    return got


def die_in_update(url, name):
    open_store(url).update_job(name, lambda found: os.kill(os.getpid(), signal.SIGKILL))


def test_no_update_is_lost_between_processes(shared_url, shared_store, processes):
    shared_store.add_job(job("run-1"))
    running = [processes.submit(update_in_process, shared_url, "run-1", 60) for _ in range(2)]
    for _ in range(60):
        shared_store.update_job("run-1", launch_again)
    for each in running:
        each.result()
    assert shared_store.job("run-1").launches == 180


def test_of_requests_to_two_processes_with_one_id_one_makes_the_job(shared_url, shared_store, processes):
    requests = [f"request-{number}" for number in range(30)]
    one, two = (processes.submit(add_jobs_in_process, shared_url, each, requests) for each in ("one", "two"))
    assert one.result() == two.result()
    assert sorted(names(shared_store.jobs(page=Page(top=100)))) == sorted(one.result())


def test_versions_are_counted_across_processes(shared_url, shared_store, processes):
    running = [processes.submit(save_models_in_process, shared_url, 20) for _ in range(2)]
    versions = [version for each in running for version in each.result()]
    assert sorted(versions, key=int) == [str(number) for number in range(1, 41)]


def test_a_process_that_dies_in_an_update_leaves_the_job_as_it_was(shared_url, shared_store):
    shared_store.add_job(job("run-1"))
    process = multiprocessing.get_context("spawn").Process(target=die_in_update, args=(shared_url, "run-1"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert shared_store.update_job("run-1", launch_again).launches == 1


def test_records_are_there_when_the_store_is_opened_again(shared_url, shared_store):
    shared_store.add_job(job("run-1"), "request-1")
    shared_store.close()
    again = open_store(shared_url)
    assert again.job_of_request("heart", "request-1") == job("run-1")
    again.close()


def test_what_could_not_be_read_back_is_not_written(shared_store):
    shared_store.add_job(job("run-1"))
    with pytest.raises(ValueError, match="status"):
        shared_store.update_job("run-1", lambda found: found.replaced(status="Sleeping"))
    assert shared_store.job("run-1") == job("run-1")
