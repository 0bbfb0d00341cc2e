import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_endpoints.planning.job_plan import Bundle, JobPlan
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import Commit, CommitLog, FailedItem, FailedRow, Totals, totals


class Memory:
    """As much of a file system as commits need, without a disk."""

    def __init__(self):
        self.contents = {}

    def read(self, path):
        if path not in self.contents:
            raise FileNotFoundError(path)
        return self.contents[path]

    def put_if_absent(self, path, data):
        return self.contents.setdefault(path, data) is data

    def names(self, folder):
        return sorted(path.removeprefix(folder + "/") for path in self.contents if path.startswith(folder + "/"))


def plan_of(*lengths):
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    return JobPlan(
        "/data",
        tuple(
            Bundle(index, start, tuple((f"{n}.csv",) for n in range(start, start + length)))
            for index, (start, length) in enumerate(zip(starts, lengths, strict=True))
        ),
    )


def worker(files, bundle, name, ranges):
    """One worker as in engine/worker/bundle.py, that can be left between any two steps.

    Args:
        ranges: how many mini-batches it scores before it commits, again and again.
    """
    log = CommitLog(files)
    at, end = bundle.start, bundle.start + len(bundle.mini_batches)
    while at < end and (commit := log.at(bundle.index, at)):
        at = commit.end
        yield
    turn = 0
    while at < end:
        upto = min(end, at + ranges[turn % len(ranges)])
        turn += 1
        yield  # scored
        part = f"parts/{name}-{at}-{turn}"
        files.contents[part] = json.dumps(list(range(at, upto))).encode()
        yield  # its rows are stored, and do not count yet
        commit = log.add(Commit(bundle=bundle.index, start=at, end=upto, parts=(part,), rows=upto - at, worker=name))
        at = commit.end
        yield


def rows(files, chains):
    return [
        row
        for chain in chains.values()
        for commit in chain
        for part in commit.parts
        for row in json.loads(files.read(part))
    ]


def check_chains(plan, chains):
    for bundle in plan.bundles:
        at = bundle.start
        for commit in chains.get(bundle.index, []):
            assert commit.start == at < commit.end <= bundle.start + len(bundle.mini_batches)
            at = commit.end


STEP = st.tuples(st.sampled_from(["step"] * 8 + ["crash", "start"]), st.integers(0, 9))


@settings(max_examples=150)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    schedule=st.lists(STEP, max_size=80),
    ranges=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_whatever_races_and_dies_every_mini_batch_counts_once(lengths, schedule, ranges):
    plan, files = plan_of(*lengths), Memory()
    log = CommitLog(files)
    started = 0

    def start(bundle):
        nonlocal started
        started += 1
        return worker(files, bundle, f"w{started}", ranges[started % len(ranges)])

    # two on each bundle from the beginning: a worker, and one that was given up for lost and goes on all the same
    working = [start(bundle) for bundle in plan.bundles for _ in range(2)]
    seen = set()

    def check():
        nonlocal seen
        chains = log.chains(plan)
        check_chains(plan, chains)
        counting = {part for chain in chains.values() for commit in chain for part in commit.parts}
        assert seen <= counting, "what counted once counts for ever"
        seen = counting

    for action, number in schedule:
        if action == "start":
            working.append(start(plan.bundles[number % len(plan.bundles)]))
        elif working:
            chosen = working[number % len(working)]
            if action == "crash" or next(chosen, "done") == "done":
                working.remove(chosen)
        check()
    for bundle in plan.bundles:  # the last driver's workers
        for _ in start(bundle):
            check()
    for late in working:  # and those that were only slow
        for _ in late:
            check()
    chains = log.chains(plan)
    check_chains(plan, chains)
    assert rows(files, chains) == list(range(plan.mini_batches))
    assert totals(commit for chain in chains.values() for commit in chain).mini_batches == plan.mini_batches


def test_the_loser_of_a_race_goes_on_behind_the_winner():
    log = CommitLog(Memory())
    won = log.add(Commit(bundle=0, start=0, end=3, worker="a"))
    assert log.add(Commit(bundle=0, start=0, end=1, worker="b")) == won
    assert log.at(0, 0) == won
    assert log.at(0, 1) is None


def test_a_part_without_a_record_does_not_count():
    plan, files = plan_of(2), Memory()
    files.contents["parts/lost"] = b"[0, 1]"
    assert CommitLog(files).chains(plan) == {}


def test_a_record_that_no_chain_reaches_does_not_count():
    plan, log = plan_of(4), CommitLog(Memory())
    log.add(Commit(bundle=0, start=2, end=4))
    assert log.chains(plan) == {0: []}
    first = log.add(Commit(bundle=0, start=0, end=3))
    assert log.chains(plan) == {0: [first]}


def test_chains_are_in_the_order_of_the_plan_and_strangers_are_ignored():
    plan, files = plan_of(1, 1, 1), Memory()
    log = CommitLog(files)
    for index in (2, 0):
        log.add(Commit(bundle=index, start=index, end=index + 1))
    files.contents["commits/.DS_Store"] = b""
    assert list(log.chains(plan)) == [0, 2]


def test_a_record_on_a_disk_is_read_as_it_was_written(tmp_path):
    failed = FailedItem(file="ü.csv", mini_batch=3, reason="bad\nrow", error="ValueError", attempts=2)
    commit = Commit(
        bundle=7, start=3, end=5, parts=("parts/x",), rows=4, items_succeeded=1, failed=(failed,), worker="w"
    )
    CommitLog(Disk(tmp_path)).add(commit)
    assert CommitLog(Disk(tmp_path)).at(7, 3) == commit


@pytest.mark.parametrize(
    ("commits", "expected"),
    [
        ([], Totals(0, 0, 0, 0)),
        (
            [
                Commit(
                    bundle=0,
                    start=0,
                    end=2,
                    rows=5,
                    items_succeeded=3,
                    failed_rows=(FailedRow(file="b", mini_batch=0, row=4, reason="bad"),),
                ),
                Commit(bundle=0, start=2, end=3, rows=0, failed=(FailedItem(file="a", mini_batch=2, reason="bad"),)),
            ],
            Totals(3, 3, 1, 5, 1),
        ),
    ],
    ids=["nothing", "two"],
)
def test_totals_are_sums(commits, expected):
    assert totals(commits) == expected
