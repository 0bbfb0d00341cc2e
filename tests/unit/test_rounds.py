"""Failed items that are tried again: what is planned, where their rows go, and what is left."""

import random
from itertools import chain

import pytest

from batch_endpoints.engine.driver.accounts import unaccounted
from batch_endpoints.planning.job_plan import plan_job, plan_parts, plan_retry
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import WHOLE, Part
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import Commit, CommitLog, FailedItem, FailedRow, Totals
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.job.rounds import failed_in, in_order, read_rounds, still_failed, total


def names(count):
    return [f"{n:03}.csv" for n in range(count)]


def plan_of(count, size, workers=1):
    return plan_job("/data", [InputFile(name) for name in names(count)], size, workers)


def scored(plan, failing, most):
    """The commits of one round, as engine/worker/bundle.py makes them; a row is the name of its file.

    Args:
        failing: the files that fail.
        most: mini-batches in one commit at most.
    """
    commits = []
    for bundle in plan.bundles:
        at, end = bundle.start, bundle.start + len(bundle.mini_batches)
        while at < end:
            start, rows, failed = at, [], []
            while at < end and at - start < most and not failed and not (plan.retry and at > start):
                items = bundle.mini_batches[at - bundle.start]
                rows += [item for item in items if item not in failing]
                failed += [FailedItem(file=item, mini_batch=at, reason="odd") for item in items if item in failing]
                at += 1
            counts = {"rows": len(rows), "items_succeeded": len(rows)}
            commits.append(
                Commit(bundle=bundle.index, start=start, end=at, parts=tuple(rows), failed=tuple(failed), **counts)
            )
    return commits


def rounds_of(plan, tries, most):
    """All rounds until nothing fails any more; ``tries``: file -> how often it fails."""
    rounds = [scored(plan, {file for file in tries if tries[file] > 0}, most)]
    while failed := failed_in(rounds[-1]):
        plan = plan_retry(plan, failed, 1)
        rounds.append(scored(plan, {file for file in tries if tries[file] > plan.retry}, most))
    return rounds


def rows(commits):
    return [row for commit in commits for row in commit.parts]


@pytest.mark.parametrize("seed", range(40))
def test_where_whole_mini_batches_failed_the_output_is_that_of_an_undisturbed_run(seed):
    rng = random.Random(seed)
    size, most = rng.randint(1, 4), rng.randint(1, 5)
    plan = plan_of(rng.randrange(60), size)
    tries = {}
    for batch in chain.from_iterable(bundle.mini_batches for bundle in plan.bundles):
        tries |= dict.fromkeys(batch, rng.choice([0, 0, 1, 2, 3]))

    rounds = rounds_of(plan, tries, most)

    assert rows(in_order(rounds)) == rows(scored(plan, (), most))
    assert still_failed(rounds) == []


@pytest.mark.parametrize("seed", range(40))
def test_rows_of_a_retry_stand_behind_those_of_their_mini_batch(seed):
    rng = random.Random(seed)
    size, most = rng.randint(1, 4), rng.randint(1, 5)
    plan = plan_of(rng.randrange(60), size)
    tries = {file: rng.choice([0, 0, 1, 2, 3]) for file in names(plan.items)}

    rounds = rounds_of(plan, tries, most)

    batch_of = {file: n // size for n, file in enumerate(names(plan.items))}
    assert rows(in_order(rounds)) == sorted(tries, key=lambda file: (batch_of[file], tries[file], file))
    assert total(rounds) == Totals(plan.mini_batches, plan.items, 0, plan.items)


@pytest.mark.parametrize("seed", range(40))
def test_wherever_it_stops_each_item_has_succeeded_once_or_is_told_as_failed(seed):
    rng = random.Random(seed)
    size, most = rng.randint(1, 4), rng.randint(1, 5)
    plan = plan_of(rng.randrange(1, 60), size)
    tries = {file: rng.choice([0, 0, 1, 2, 3]) for file in names(plan.items)}
    rounds = rounds_of(plan, tries, most)
    if len(rounds) > 1:
        stopped = rounds[: rng.randint(2, len(rounds))]
        stopped[-1] = [commit for commit in stopped[-1] if rng.random() < 0.5]
    else:
        stopped = rounds

    left = still_failed(stopped)

    assert sorted(rows(in_order(stopped)) + [item.file for item in left]) == names(plan.items)
    assert [item.file for item in left] == sorted(item.file for item in left)
    assert all(item.mini_batch == int(item.file[:3]) // size for item in left)
    succeeded = plan.items - len(left)
    assert total(stopped) == Totals(plan.mini_batches, succeeded, len(left), succeeded)


def test_commits_that_go_on_behind_a_failure_keep_their_order():
    """As older versions wrote them: what is won stands behind the whole commit."""
    failed = [FailedItem(file=file, mini_batch=at, reason="odd") for at, file in ((0, "a"), (2, "c"))]
    first = [Commit(bundle=0, start=0, end=3, parts=("b",), failed=tuple(failed)), Commit(bundle=0, start=3, end=4)]
    again = [Commit(bundle=0, start=n, end=n + 1, parts=(part,)) for n, part in enumerate("ac")]
    assert in_order([first, again]) == [first[0], *again, first[1]]


def test_the_parts_of_a_file_that_failed_are_tried_again_and_no_others():
    one, two, three = Part(0, 10, 0, 2), Part(10, 30, 2, 4), Part(30, -1, 6, 3)
    batches = [[("a", one)], [("a", two), ("b", one)], [("b", three), ("c", one)]]
    plan = plan_parts("/data", batches, 1, lambda: b"columns")

    again = plan_retry(plan, {1: {"a": []}, 2: {"b": [], "c": []}}, 1)

    assert [bundle.mini_batches for bundle in again.bundles] == [(("a",),), (("b", "c"),)]
    assert [bundle.parts for bundle in again.bundles] == [((two,),), ((three, one),)]
    assert {bundle.retry for bundle in again.bundles} == {again.retry} == {1}
    assert (again.root, again.columns) == ("/data", b"columns")
    assert plan_retry(again, {1: {"c": []}}, 1).bundles[0].parts == ((one,),)


def test_each_round_has_a_plan_and_commits_of_its_own_in_the_job_folder(tmp_path):
    folder = JobFolder(Disk(tmp_path), tmp_path.as_uri())
    assert read_rounds(folder) == []
    plan = folder.write_plan(plan_of(4, 2))
    rounds = [scored(plan, {"001.csv"}, 1)]
    plan = plan_retry(plan, failed_in(rounds[0]), 1)
    assert folder.write_plan(plan) == plan == folder.plan(1)
    assert folder.write_plan(plan_retry(plan_of(4, 2), {}, 1)) == plan
    rounds.append(scored(plan, (), 1))
    for retry, commits in enumerate(rounds):
        for commit in commits:
            CommitLog(folder.files, retry).add(commit)

    assert read_rounds(folder) == rounds
    assert rows(in_order(read_rounds(folder))) == names(4)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        "plan.arrow",
        "commits/000000/000000000.json",
        "commits/000001/000000001.json",
        "retries/1/plan.arrow",
        "retries/1/commits/000000/000000000.json",
    }


ROWS = 4  # of each file


def tried(plan, tries, most):
    """The commits of one round of tables, as engine/worker/bundle.py makes them; a row of output is (file, row).

    Args:
        tries: (file, row) -> how often it fails.
    """
    commits = []
    for bundle in plan.bundles:
        at, end = bundle.start, bundle.start + len(bundle.mini_batches)
        while at < end:
            start, rows, failed, failed_rows, given = at, [], [], [], 0
            while (
                at < end and at - start < most and not failed and not failed_rows and not (plan.retry and at > start)
            ):
                parts = bundle.parts[at - bundle.start] if bundle.parts else [WHOLE] * len(bundle.items(at))
                for file, part in zip(bundle.mini_batches[at - bundle.start], parts, strict=True):
                    given += not part.only
                    bad = [row for row in part.only or range(ROWS) if tries[file, row] > plan.retry]
                    rows += [(file, row) for row in part.only or range(ROWS) if row not in bad]
                    if len(bad) == ROWS and not part.only:
                        failed.append(FailedItem(file=file, mini_batch=at, reason="odd"))
                    else:
                        failed_rows += [FailedRow(file=file, mini_batch=at, row=row, reason="odd") for row in bad]
                at += 1
            counts = {"rows": len(rows), "items_succeeded": given - len(failed)}
            told = {"failed": tuple(failed), "failed_rows": tuple(failed_rows)}
            parts = tuple(f"{file} {row}" for file, row in rows)
            commits.append(Commit(bundle=bundle.index, start=start, end=at, parts=parts, **told, **counts))
    return commits


@pytest.mark.parametrize("seed", range(60))
def test_rows_that_are_won_stand_behind_those_of_their_mini_batch_and_none_is_lost_or_doubled(seed):
    rng = random.Random(seed)
    size, most = rng.randint(1, 4), rng.randint(1, 5)
    plan = whole = plan_of(rng.randrange(1, 40), size)
    many = rng.choice([[0, 0, 0, 0, 1], [0, 0, 1, 2, 3], [0, 2, 2, 2]])
    tries = {(file, row): rng.choice(many) for file in names(plan.items) for row in range(ROWS)}
    rounds = [tried(plan, tries, most)]
    while failed := failed_in(rounds[-1]):
        plan = plan_retry(plan, failed, 1)
        rounds.append(tried(plan, tries, most))
        assert unaccounted(plan, rounds[-1]) == ""

    assert [
        f"{file} {row}" for file, row in sorted(tries, key=lambda one: (int(one[0][:3]) // size, tries[one], one))
    ] == rows(in_order(rounds))
    assert still_failed(rounds) == []
    assert total(rounds) == Totals(whole.mini_batches, whole.items, 0, len(tries), 0)

    stopped = rounds[: rng.randint(1, len(rounds))]
    if len(stopped) > 1:
        stopped[-1] = [commit for commit in stopped[-1] if rng.random() < 0.5]
    left = still_failed(stopped)
    missing = [
        f"{one.file} {row}" for one in left for row in ([one.row] if isinstance(one, FailedRow) else range(ROWS))
    ]
    assert sorted(rows(in_order(stopped)) + missing) == sorted(f"{file} {row}" for file, row in tries)
    assert [one.mini_batch for one in left] == sorted(int(one.file[:3]) // size for one in left)
    done = total(stopped)
    assert done.items_succeeded + done.items_failed == whole.items
    assert done.items_failed + done.rows_failed == len(left)
    assert done.rows == len(tries) - len(missing)


def test_a_retry_names_rows_within_their_parts_and_its_plan_survives_the_job_folder(tmp_path):
    one, two = Part(0, 10, 0, 5), Part(10, 30, 5, 4, group=800, skip=2)
    plan = plan_parts("/data", [[("a", one)], [("a", two), ("b", WHOLE)]], 1, lambda: b"columns")

    again = plan_retry(plan, {0: {"a": [1, 3]}, 1: {"a": [], "b": [7]}}, 1)

    parts = [part for bundle in again.bundles for parts in bundle.parts for part in parts]
    assert parts == [one._replace(only=(1, 3)), two, WHOLE._replace(only=(7,))]
    assert (again.items, again.rows, plan.rows) == (1, 3, 0)
    for written in (plan, again):
        JobFolder(Disk(tmp_path), tmp_path.as_uri()).write_plan(written)
        assert JobFolder(Disk(tmp_path), tmp_path.as_uri()).plan(written.retry) == written


def test_rows_of_whole_files_are_named_within_them():
    again = plan_retry(plan_of(2, 2), {0: {"001.csv": [2]}}, 1)
    assert [bundle.parts for bundle in again.bundles] == [((WHOLE._replace(only=(2,)),),)]
    assert plan_retry(plan_of(2, 2), {0: {"001.csv": []}}, 1).bundles[0].parts == ()


def test_what_is_left_has_the_numbers_of_the_first_round():
    def row(mini_batch, file):
        return FailedRow(file=file, mini_batch=mini_batch, row=7, reason="odd")

    item = FailedItem(file="c", mini_batch=5, reason="odd")
    first = [
        Commit(bundle=0, start=0, end=6, items_succeeded=5, failed=(item,), failed_rows=(row(1, "a"),)),
        Commit(bundle=0, start=6, end=7, items_succeeded=1, failed_rows=(row(6, "d"),)),
    ]
    again = [  # of "a" its row, of "c" all, and not yet of "d"
        Commit(bundle=0, start=0, end=1, rows=1),
        Commit(bundle=0, start=1, end=2, items_succeeded=1, failed_rows=(row(1, "c"),)),
    ]

    assert still_failed([]) == []
    assert [(one.file, one.mini_batch) for one in still_failed([first])] == [("a", 1), ("c", 5), ("d", 6)]
    assert [(one.file, one.mini_batch) for one in still_failed([first, again])] == [("c", 5), ("d", 6)]
    assert total([first, again]) == Totals(7, 7, 0, 1, 2)
