import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_endpoints.planning.job_plan import BUNDLES_PER_WORKER, plan_job, remaining
from batch_endpoints.planning.mini_batches import InputFile


def files(count):
    return [InputFile(f"{n:05}.csv") for n in range(count)]


@given(count=st.integers(0, 400), size=st.integers(1, 7), workers=st.integers(1, 5))
def test_bundles_hold_every_file_once_in_order_and_are_of_one_length(count, size, workers):
    plan = plan_job("/data", files(count), size, workers)
    batches = [tuple(batch) for bundle in plan.bundles for batch in bundle.mini_batches]
    assert [path for batch in batches for path in batch] == [file.path for file in files(count)]
    assert plan.items == count
    assert plan.mini_batches == len(batches) == -(-count // size)
    starts = [0]
    for bundle in plan.bundles:
        starts.append(starts[-1] + len(bundle.mini_batches))
    assert [bundle.start for bundle in plan.bundles] == starts[:-1]
    assert [bundle.index for bundle in plan.bundles] == list(range(len(plan.bundles)))
    lengths = {len(bundle.mini_batches) for bundle in plan.bundles}
    assert not lengths or (min(lengths) >= 1 and max(lengths) - min(lengths) <= 1)
    assert len(plan.bundles) == min(len(batches), BUNDLES_PER_WORKER * workers)


@pytest.mark.parametrize(
    ("committed_until", "left"),
    [
        pytest.param({}, [0, 1, 2], id="nothing committed"),
        pytest.param({0: 3}, [1, 2], id="one done"),
        pytest.param({0: 2, 1: 6}, [0, 2], id="one not wholly done"),
        pytest.param({0: 3, 1: 6, 2: 10}, [], id="all done"),
    ],
)
def test_what_remains_is_every_bundle_that_is_not_wholly_committed(monkeypatch, committed_until, left):
    monkeypatch.setattr("batch_endpoints.planning.job_plan.BUNDLES_PER_WORKER", 3)
    plan = plan_job("/data", files(10), 1, 1)
    assert [(bundle.start, len(bundle.mini_batches)) for bundle in plan.bundles] == [(0, 3), (3, 3), (6, 4)]
    assert [bundle.index for bundle in remaining(plan, committed_until)] == left
