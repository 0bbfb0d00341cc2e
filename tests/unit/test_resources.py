import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_endpoints.errors import ResourcesUnavailable
from batch_endpoints.planning.resources import ClusterShape, Node, WorkerPlan, has_labels, plan_workers
from batch_endpoints.specs import Resources

NODES_MISSING = "the job asks for 3 nodes and the cluster has 1: its workers run wherever there is room"
ONE_MACHINE = "the job asks for 3 nodes and the cluster has 1: it runs on 1"


def cluster(*nodes, **more):
    """A cluster of nodes with so many CPUs, or of nodes."""
    return ClusterShape(tuple(n if isinstance(n, Node) else Node(float(n)) for n in nodes), **more)


def resources(instances=1, **properties):
    return Resources(instance_count=instances, properties=properties)


@pytest.mark.parametrize(
    ("nodes", "instances", "concurrency", "expected"),
    [
        pytest.param((8,), 1, 2, WorkerPlan(2, 1.0), id="room enough"),
        pytest.param((2,), 1, 4, WorkerPlan(4, 0.5), id="more processes than CPUs"),
        pytest.param((2,), 1, 3, WorkerPlan(3, 0.666), id="a share that is rounded down"),
        pytest.param((8, 8), 2, 4, WorkerPlan(8, 1.0), id="two nodes"),
        pytest.param((4, 8, 2), 2, 8, WorkerPlan(16, 0.5), id="the two largest nodes"),
        pytest.param((0, 8), 1, 1, WorkerPlan(1, 1.0), id="a head without CPUs runs nothing"),
        pytest.param((0,), 2, 2, WorkerPlan(4, 0.5, to_come=True), id="no node yet"),
        pytest.param((4,), 3, 2, WorkerPlan(6, 1.0, notes=(NODES_MISSING,)), id="fewer nodes than asked for"),
        pytest.param((Node(8, 4),), 1, 2, WorkerPlan(2, 1.0, 1.0), id="a GPU each"),
        pytest.param((Node(8, 1),), 1, 4, WorkerPlan(4, 1.0, 0.25), id="a GPU that is shared"),
        pytest.param((Node(8, 1), 8), 2, 1, WorkerPlan(2, 1.0), id="GPUs that not all nodes have are not reserved"),
    ],
)
def test_where_nothing_is_said_a_worker_reserves_a_cpu_or_its_share_of_the_node(
    nodes, instances, concurrency, expected
):
    assert plan_workers(resources(instances), concurrency, cluster(*nodes)) == expected


def test_on_one_machine_without_ray_run_as_many_workers_as_it_has_room_for():
    plan = plan_workers(resources(3), 2, cluster(4, alone=True, kinds=None))
    assert plan == WorkerPlan(2, 1.0, notes=(ONE_MACHINE,))


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        pytest.param({"num_cpus": 0.1}, (0.1, 0.5, 0), id="CPUs"),
        pytest.param({"num_gpus": 0.25}, (1.0, 0.25, 0), id="GPUs"),
        pytest.param({"num_gpus": 0}, (1.0, 0.0, 0), id="no GPU"),
        pytest.param({"memory": "2GB"}, (1.0, 0.5, 2 << 30), id="memory"),
        pytest.param({"num_cpus": "2", "vm_priority": "low"}, (2.0, 0.5, 0), id="text, and what is Azure's"),
    ],
)
def test_what_a_worker_reserves_is_the_users_to_say(properties, expected):
    plan = plan_workers(resources(**properties), 2, cluster(Node(4, 1, 8 << 30)))
    assert (plan.cpus, plan.gpus, plan.memory, plan.count) == (*expected, 2)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        pytest.param({"num_cpus": 8}, "num_cpus is 8, and no node of the cluster has more than 4", id="CPUs"),
        pytest.param({"num_gpus": 0.5}, "num_gpus is 0.5, and no node of the cluster has more than 0", id="GPUs"),
        pytest.param({"memory": "1TB"}, "memory is 1.09951e.12, and no node", id="memory"),
    ],
)
def test_what_no_node_has_is_refused_by_name_unless_an_autoscaler_may_bring_it(properties, message):
    wanted, nodes = resources(**properties), [Node(4, 0, 1 << 30)]
    with pytest.raises(ResourcesUnavailable, match=message):
        plan_workers(wanted, 1, cluster(*nodes))
    assert plan_workers(wanted, 1, cluster(*nodes, kinds=None)).count == 1
    assert plan_workers(wanted, 1, cluster(*nodes, kinds=(Node(64, 8, 2 << 40),))).count == 1


def test_what_different_nodes_have_is_not_on_one_node():
    with pytest.raises(ResourcesUnavailable, match="asks for 4 CPUs and 1 GPUs on one node"):
        plan_workers(resources(num_cpus=4, num_gpus=1), 1, cluster(Node(4), Node(1, 1)))


SPOT = {"label_selector": {"market": "spot"}}


@pytest.mark.parametrize(
    ("selector", "labels", "fits"),
    [
        ({}, {}, True),
        ({"market": "spot"}, {"market": "spot", "zone": "a"}, True),
        ({"market": "spot"}, {"market": "on-demand"}, False),
        ({"market": "spot"}, {}, False),
        ({"market": "!spot"}, {"market": "on-demand"}, True),
        ({"market": "!spot"}, {}, True),
        ({"market": "!spot"}, {"market": "spot"}, False),
        ({"gpu": "in(H100, A100)"}, {"gpu": "A100"}, True),
        ({"gpu": "in(H100,A100)"}, {"gpu": "T4"}, False),
        ({"gpu": "!in(H100, A100)"}, {"gpu": "H100"}, False),
        ({"gpu": "!in(H100, A100)"}, {}, True),
        ({"market": "spot", "zone": "a"}, {"market": "spot", "zone": "b"}, False),
    ],
)
def test_labels_fit_a_selector_as_in_ray(selector, labels, fits):
    assert has_labels(labels, selector) is fits


def test_workers_are_planned_for_the_nodes_with_the_labels():
    nodes = cluster(Node(8), Node(2, labels={"market": "spot"}))
    plan = plan_workers(resources(2, **SPOT), 4, nodes)
    assert (plan.count, plan.cpus, plan.label_selector, plan.stated) == (8, 0.5, {"market": "spot"}, True)
    (note,) = plan.notes
    assert note.startswith("the job asks for 2 nodes and the cluster has 1 with market: spot: its workers")
    assert plan.where == " on nodes with market: spot"


def test_labels_that_no_node_has_are_waited_for_and_a_machine_without_ray_has_none():
    plan = plan_workers(resources(**SPOT), 2, cluster(8))
    assert (plan.to_come, plan.count) == (True, 2)
    assert plan.notes == ("the job waits for a node with market: spot: the cluster has none now",)
    plan = plan_workers(resources(**SPOT), 2, cluster(8, alone=True, kinds=None))
    assert (plan.to_come, plan.notes, plan.label_selector) == (False, (), {})


@given(
    nodes=st.lists(st.floats(0.1, 256), min_size=1, max_size=6),
    instances=st.integers(1, 8),
    concurrency=st.integers(1, 500),
)
def test_workers_of_an_instance_never_reserve_more_than_their_node_has(nodes, instances, concurrency):
    plan = plan_workers(resources(instances), concurrency, cluster(*nodes))
    used = sorted(nodes, reverse=True)[:instances]
    assert plan.count == instances * concurrency
    assert 0 <= plan.cpus <= 1
    # Ray counts in steps of 0.0001
    assert all(concurrency * plan.cpus <= node + 1e-9 for node in used)
    assert bool(plan.notes) == (len(nodes) < instances)
