import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_endpoints.planning.resources import ClusterShape, WorkerPlan, plan_workers


@pytest.mark.parametrize(
    ("nodes", "instance_count", "concurrency", "expected"),
    [
        pytest.param((8,), 1, 2, WorkerPlan(2, 1.0), id="room enough"),
        pytest.param((2,), 1, 4, WorkerPlan(4, 0.5), id="more processes than CPUs"),
        pytest.param((2,), 1, 3, WorkerPlan(3, 0.666), id="a share that is rounded down"),
        pytest.param((8, 8), 2, 4, WorkerPlan(8, 1.0, instances=2), id="two nodes"),
        pytest.param((4, 8, 2), 2, 8, WorkerPlan(16, 0.5, instances=2), id="the two largest nodes"),
        pytest.param((0, 8), 1, 1, WorkerPlan(1, 1.0), id="a head without CPUs runs nothing"),
        pytest.param((0,), 2, 2, WorkerPlan(4, 0.5, instances=2, to_come=True), id="no node yet"),
        pytest.param(
            (4,),
            3,
            2,
            WorkerPlan(2, 1.0, ("the job asks for 3 nodes and the cluster has 1: it runs on 1",)),
            id="fewer nodes than asked for",
        ),
    ],
)
def test_workers_are_what_is_asked_for_as_far_as_the_nodes_hold_them(nodes, instance_count, concurrency, expected):
    assert plan_workers(instance_count, concurrency, ClusterShape(tuple(map(float, nodes)))) == expected


@given(
    nodes=st.lists(st.floats(0.1, 256), min_size=1, max_size=6),
    instance_count=st.integers(1, 8),
    concurrency=st.integers(1, 500),
)
def test_workers_never_reserve_more_than_their_nodes_have(nodes, instance_count, concurrency):
    plan = plan_workers(instance_count, concurrency, ClusterShape(tuple(nodes)))
    used = sorted(nodes, reverse=True)[:instance_count]
    assert plan.count == plan.instances * concurrency == len(used) * concurrency
    assert 0 <= plan.cpus <= 1
    # Ray counts in steps of 0.0001
    assert all(concurrency * plan.cpus <= node + 1e-9 for node in used)
    assert bool(plan.notes) == (len(nodes) < instance_count)
