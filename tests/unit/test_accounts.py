"""A job whose items do not add up is found out, however the sums look."""

import pytest

from batch_endpoints.engine.driver.accounts import accounts, unaccounted
from batch_endpoints.planning.job_plan import plan_job, plan_parts
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import Part
from batch_endpoints.specs import SkippedFile
from batch_endpoints.storage.job.commits import Commit, FailedItem, FailedRow

PLAN = plan_job("/in", [InputFile(f"{n}.csv") for n in range(8)], mini_batch_size=2, workers=1)  # 4 bundles of one


def commit(bundle, *, succeeded=2, failed=(), start=None, end=None):
    start = bundle if start is None else start
    items = tuple(FailedItem(file=file, mini_batch=start, reason="bad") for file in failed)
    return Commit(
        bundle=bundle,
        start=start,
        end=start + 1 if end is None else end,
        items_succeeded=succeeded,
        failed=items,
        rows=succeeded,
        attempts=1,
        seconds=0.5,
    )


def all_but(changed):
    return [changed if bundle == changed.bundle else commit(bundle) for bundle in range(4)]


def test_all_items_in_one_commit_each_add_up():
    assert unaccounted(PLAN, all_but(commit(1, succeeded=1, failed=["3.csv"]))) == ""


@pytest.mark.parametrize(
    ("committed", "gap"),
    [
        pytest.param(
            all_but(commit(2, succeeded=1)),
            "mini-batches 2 to 2 of bundle 2 have 2 items, of which 1 have succeeded and 0 have failed",
            id="one lost",
        ),
        pytest.param(
            [commit(0, succeeded=1), commit(1, succeeded=3), commit(2), commit(3)],
            "mini-batches 0 to 0 of bundle 0 have 2 items, of which 1 have succeeded and 0 have failed",
            id="the sum is right",
        ),
        pytest.param(
            all_but(commit(1, succeeded=1, failed=["7.csv"])),
            "'7.csv' has failed in mini-batches 1 to 1 of bundle 1, and is not in them",
            id="failed elsewhere",
        ),
        pytest.param(all_but(commit(3))[:3], "mini-batch 3 of bundle 3 is not committed", id="a bundle is left"),
        pytest.param(
            [*all_but(commit(3)), commit(3)],
            "mini-batches 3 to 3 of bundle 3 are committed where 4 is the next one",
            id="committed twice",
        ),
    ],
)
def test_what_does_not_add_up_is_told(committed, gap):
    assert unaccounted(PLAN, committed) == gap


def test_the_report_has_the_sums_and_what_was_not_scored():
    skipped = tuple(SkippedFile(file=f"{n}", reason="a pipe") for n in range(150))
    plan = PLAN.__class__(PLAN.root, PLAN.bundles, skipped=skipped)
    told = accounts(plan, [[commit(0), commit(1, succeeded=1, failed=["3.csv"])]])
    assert told["items"].model_dump() == {
        "given": 158,
        "succeeded": 3,
        "failed": 1,
        "skipped": 150,
        "not_scored": 4,
    }
    assert told["files"].model_dump() == {
        "given": 158,
        "succeeded": 3,
        "failed": 1,
        "partly_failed": 0,
        "skipped": 150,
        "not_scored": 4,
    }
    assert told["rows"].model_dump() == {"read": None, "failed": 0, "written": 3}
    assert len(told["skipped"]) == 100
    assert (told["attempts"], told["worker_seconds"]) == (2, 1.0)


def parts_of(**files):
    """A plan of one bundle: of each file so many parts, each a mini-batch of 10 rows."""
    parts = [(file, Part(n * 90, n * 90 + 90, n * 10, 10)) for file, count in files.items() for n in range(count)]
    return plan_parts("/in", [[part] for part in parts], 1, lambda: b"")


def of_parts(plan, failed=(), failed_rows=(), until=None):
    """A commit of each mini-batch; of some the item has failed, of others a row."""
    found = []
    for bundle in plan.bundles:
        for n in range(bundle.start, bundle.end):
            (file,) = bundle.mini_batch(n).files
            items = [FailedItem(file=file, mini_batch=n, reason="bad")] if n in failed else []
            rows = [FailedRow(file=file, mini_batch=n, row=n, reason="bad")] if n in failed_rows else []
            found.append(
                Commit(
                    bundle=bundle.index,
                    start=n,
                    end=n + 1,
                    items_succeeded=not items,
                    failed=items,
                    failed_rows=rows,
                )
            )
    return found[:until]


def test_a_file_of_many_parts_is_counted_once_by_what_became_of_all_of_them():
    plan = parts_of(good=3, bad=2, torn=2, worn=2, lone=1)
    told = accounts(plan, [of_parts(plan, failed=[3, 4, 5], failed_rows=[7])])
    assert (told["items"].succeeded, told["items"].failed) == (7, 3)
    assert told["files"].model_dump() == {
        "given": 5,
        "succeeded": 2,
        "failed": 1,
        "partly_failed": 2,
        "skipped": 0,
        "not_scored": 0,
    }


def test_a_file_that_is_scored_in_part_only_is_not_scored():
    plan = parts_of(good=2, bad=2, torn=3, waiting=1)
    files = accounts(plan, [of_parts(plan, failed=[2, 3, 4], until=5)])["files"]
    assert (files.given, files.succeeded, files.failed, files.not_scored) == (4, 1, 1, 2)


def test_what_a_retry_has_won_counts_as_succeeded():
    plan = parts_of(bad=2, torn=1)
    first = of_parts(plan, failed=[0, 1], failed_rows=[2])
    again = [
        Commit(bundle=0, start=0, end=1, items_succeeded=1),
        Commit(bundle=1, start=1, end=2, failed=[FailedItem(file="bad", mini_batch=1, reason="bad")]),
        Commit(bundle=2, start=2, end=3),
    ]
    files = accounts(plan, [first, again])["files"]
    assert (files.given, files.succeeded, files.failed, files.partly_failed) == (2, 1, 0, 1)
