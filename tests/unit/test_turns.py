"""Who may use a worker's code, and what is asked back before it may."""

import threading

import pytest

from batch_endpoints.engine.worker.turns import NotBegun, Turns


@pytest.fixture
def second():
    """Waits behind a turn that lasts until the test lets it end; returns what becomes of it."""
    turns, let_end, came, told = Turns("one"), threading.Event(), threading.Event(), []

    def first():
        with turns.next(1):
            came.set()
            let_end.wait(10)

    def behind():
        try:
            with turns.next(2):
                told.append("had its turn")
        except NotBegun:
            told.append("not begun")

    threads = [threading.Thread(target=first), threading.Thread(target=behind)]
    threads[0].start()
    assert came.wait(10)
    threads[1].start()
    yield turns, let_end, lambda: (threads[1].join(10), told)[1]
    let_end.set()
    for thread in threads:
        thread.join(10)


def test_a_bundle_that_waits_for_its_turn_is_given_back_at_once(second):
    turns, _, becomes = second
    turns.ask_back(2)
    assert becomes() == ["not begun"]


def test_one_that_is_asked_back_before_it_comes_does_not_begin_and_may_come_again():
    turns = Turns("one")
    turns.ask_back(2)
    with pytest.raises(NotBegun), turns.next(2):
        pass
    with turns.next(2):
        pass


def test_one_that_has_begun_goes_on(second):
    turns, let_end, becomes = second
    turns.ask_back(1)
    let_end.set()
    assert becomes() == ["had its turn"]


def test_an_error_ends_the_turn_of_whoever_waits():
    turns = Turns("one")
    with pytest.raises(ValueError, match="broken"), turns.next(1):
        raise ValueError("broken")
    with pytest.raises(ValueError, match="broken"), turns.next(2):
        pass
