"""Fetching ahead: what is begun is there when it is asked for, errors belong to their thing, and it ends at once."""

import threading

import pytest

from batch_endpoints.engine.worker.ahead import Ahead
from batch_endpoints.scoring.worker import WorkerStopped


@pytest.fixture
def ahead():
    """Makes them; what they fetch may wait for ``gate``."""
    made = []

    def make(fetch, threads=2):
        made.append(Ahead(fetch, threads))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_what_is_begun_is_fetched_once_and_before_anybody_asks(ahead):
    fetched, both = [], threading.Barrier(3)

    def fetch(thing):
        fetched.append(thing)
        both.wait(10)
        return thing * 2

    one = ahead(fetch)
    one.begin([1, 2])
    both.wait(10)
    assert (one.get(1), one.get(2)) == (2, 4)
    assert sorted(fetched) == [1, 2]


def test_what_nobody_began_is_fetched_when_it_is_asked_for(ahead):
    assert ahead(str).get(7) == "7"


def test_an_error_is_told_to_whoever_asks_for_that_thing_and_to_nobody_else(ahead):
    one = ahead(lambda thing: 1 // thing)
    one.begin([1, 0])
    assert one.get(1) == 1
    with pytest.raises(ZeroDivisionError):
        one.get(0)


def test_what_is_not_wanted_any_more_is_not_fetched(ahead):
    fetched, gate = [], threading.Event()

    def fetch(thing):
        gate.wait(10)
        fetched.append(thing)

    one = ahead(fetch, threads=1)
    one.begin([1, 2, 3])
    one.begin([3])
    gate.set()
    one.get(3)
    assert 2 not in fetched


def test_nobody_waits_for_a_store_that_hangs_once_it_is_stopped(ahead):
    asked, gate = threading.Event(), threading.Event()

    def fetch(thing):
        asked.set()
        gate.wait(30)

    one = ahead(fetch)
    told = []

    def ask():
        with pytest.raises(WorkerStopped):
            one.get(1)
        told.append(1)

    asker = threading.Thread(target=ask)
    asker.start()
    assert asked.wait(10)
    one.stop()
    asker.join(5)
    assert told == [1]
    gate.set()
    with pytest.raises(WorkerStopped):
        one.get(2)
