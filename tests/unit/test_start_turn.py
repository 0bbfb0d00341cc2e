"""Turns of jobs that start their workers: how many there are, and who waits for whom."""

import threading

import pytest

from batch_endpoints.engine.on_ray.start_turn import StartTurn, turns_at_once


def never():
    return False


@pytest.mark.parametrize(
    ("cpus", "workers", "turns"),
    [
        pytest.param(2, 2, 2, id="few-cores"),
        pytest.param(64, 2, 64, id="many-cores"),
        pytest.param(2, 100, 1, id="more-workers-than-that"),
        pytest.param(0.5, 1, 1, id="half-a-core"),
        pytest.param(0, 2, 1, id="no-node-yet"),
    ],
)
def test_so_many_jobs_start_at_once(cpus, workers, turns):
    assert turns_at_once(cpus, workers) == turns


def test_a_turn_that_ends_is_taken_by_one_that_waits(tmp_path):
    first, second, third = (StartTurn(tmp_path / "turns", 2) for _ in range(3))
    first.take(never)
    second.take(never)
    assert (first.held, second.held) == (True, True)
    waits = threading.Event()

    def given_up():
        waits.set()
        return False

    waiting = threading.Thread(target=third.take, args=(given_up,))
    waiting.start()
    assert waits.wait(60)
    assert not third.held
    second.end()
    waiting.join(60)
    assert third.held


def test_one_that_is_given_up_or_waits_too_long_goes_on_without_a_turn(tmp_path):
    first, second = StartTurn(tmp_path, 1), StartTurn(tmp_path, 1)
    first.take(never)
    second.take(lambda: True)
    second.take(never, seconds=0)
    assert not second.held
    second.end()
    assert first.held


def test_where_there_can_be_no_locks_all_go_on_without_a_turn(tmp_path):
    (tmp_path / "file").touch()
    turn = StartTurn(tmp_path / "file" / "turns", 1)
    turn.take(never)
    assert not turn.held
