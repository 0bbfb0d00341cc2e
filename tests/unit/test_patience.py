"""How long a request is tried again: as long as whoever asks has patience, and no longer once nobody waits."""

import threading
from contextvars import copy_context

import pytest

from batch_endpoints.storage.files import patience as module
from batch_endpoints.storage.files.patience import Tries, patience


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only while somebody pauses; pauses grow as they do."""
    now = [0.0]

    class Ended(threading.Event):
        def wait(self, timeout=None):
            now[0] += 0 if self.is_set() else timeout
            return self.is_set()

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.threading, "Event", Ended)
    return now


def tries_until_given_up():
    tries = Tries()
    while tries.another():
        pass
    return tries.made


def test_a_request_is_tried_again_until_patience_is_over_with_pauses_of_ten_seconds_at_most(clock):
    with patience(900):
        made = tries_until_given_up()
    assert 885 <= clock[0] <= 900
    assert 90 < made < 200


def test_a_short_patience_allows_a_few_tries(clock):
    with patience(5):
        assert 3 <= tries_until_given_up() <= 8


def test_nobody_waits_any_more_once_it_has_ended(clock):
    ended = module.threading.Event()
    with patience(900, ended):
        assert Tries().another()
        ended.set()
        assert not Tries().another()


def test_patience_holds_within_its_block_and_for_threads_that_are_given_its_context(clock):
    with patience(0):
        given = copy_context()
        with patience(900):
            assert Tries().another()
        assert not Tries().another()
    assert Tries().another()
    assert not given.run(Tries).another()
