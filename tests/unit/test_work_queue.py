import random
from collections import Counter

import pytest

from batch_endpoints.policies.work_queue import WorkQueue


def test_a_worker_is_told_what_it_gets_next():
    queue = WorkQueue("abc")
    assert queue.take("one") == ("a", "b")
    assert queue.take("one") == ("b", "c")
    assert queue.take("one") == ("c", None)
    with pytest.raises(IndexError):
        queue.take("one")


def test_what_is_kept_for_a_slow_worker_goes_to_a_free_one_when_nothing_else_is_left():
    queue = WorkQueue("abcd")
    assert queue.take("slow") == ("a", "b")
    assert queue.take("quick") == ("c", "d")
    assert queue.take("quick") == ("d", None)
    assert queue.take("quick") == ("b", None)
    assert len(queue) == 0


def test_what_a_lost_worker_had_comes_first():
    queue = WorkQueue("abcd")
    queue.take("lost")
    queue.give_back("lost", "a")
    assert [queue.take("other")[0] for _ in range(4)] == list("abcd")


def test_a_worker_that_had_nothing_is_lost_without_a_trace():
    queue = WorkQueue("a")
    queue.give_back("lost")
    assert queue.take("other") == ("a", None)


@pytest.mark.parametrize("seed", range(50))
def test_all_work_is_done_once_whoever_is_lost_and_nobody_is_idle_while_there_is_any(seed):
    chance = random.Random(seed)
    work, names = range(chance.randrange(1, 40)), iter(range(10_000))
    queue = WorkQueue(work)
    at, done = {next(names): None for _ in range(chance.randrange(1, 6))}, Counter()
    while len(queue) or any(one is not None for one in at.values()):
        for free in [worker for worker, one in at.items() if one is None]:
            if len(queue):
                at[free], _ = queue.take(free)
        assert not len(queue) or None not in at.values()
        worker = chance.choice([worker for worker, one in at.items() if one is not None])
        if chance.random() < 0.2:
            queue.give_back(worker, at.pop(worker))
            at[next(names)] = None
        else:
            done[at[worker]] += 1
            at[worker] = None
    assert done == dict.fromkeys(work, 1)
