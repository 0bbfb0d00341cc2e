"""A worker's bundles: one is scored while the one before is committed, in the order in which they came."""

import threading

import pytest

from batch_endpoints.engine.on_ray.in_order import InOrder


class Worker:
    """Scores each piece, which lets the next one begin, and commits it when the test lets it."""

    def __init__(self):
        self.seen, self.following, self.all_are_there = [], {}, threading.Event()
        self.go = {n: threading.Event() for n in range(5)}
        self.scored = {n: threading.Event() for n in range(5)}

    def do(self, number, next_may_begin):
        self.seen.append(number)
        assert self.all_are_there.wait(10)
        self.following[number] = next_may_begin()
        self.scored[number].set()
        assert self.go[number].wait(10)
        return -number


def test_two_pieces_are_at_work_and_each_learns_which_one_follows():
    worker = Worker()
    order = InOrder(worker.do)
    results = [order.submit(n) for n in range(3)]
    worker.all_are_there.set()
    assert worker.scored[0].wait(10)
    assert worker.scored[1].wait(10)
    assert not worker.scored[2].is_set()
    worker.go[0].set()
    assert worker.scored[2].wait(10)
    for number in range(3):
        worker.go[number].set()
    assert [result.result(10) for result in results] == [0, -1, -2]
    assert worker.seen == [0, 1, 2]
    assert (worker.following[1], worker.following[2]) == (2, None)


def test_a_piece_that_does_not_let_the_next_one_begin_is_done_before_it():
    seen = []

    def do(number, next_may_begin):
        seen.append(("begins", number))
        seen.append(("ends", number))

    order = InOrder(do)
    for result in [order.submit(n) for n in range(20)]:
        result.result(10)
    assert seen == [(what, n) for n in range(20) for what in ("begins", "ends")]


def test_what_a_piece_raises_is_its_own():
    def do(number, next_may_begin):
        if number == 1:
            raise ValueError("broken")
        return number

    order = InOrder(do)
    results = [order.submit(n) for n in range(3)]
    with pytest.raises(ValueError, match="broken"):
        results[1].result(10)
    assert (results[0].result(10), results[2].result(10)) == (0, 2)
