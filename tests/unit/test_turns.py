"""Who may use a worker's code: one bundle at a time, until an error ends that for all that come later."""

import threading

import pytest

from batch_endpoints.engine.worker.turns import Turns


def test_a_bundle_waits_until_the_one_before_has_had_its_turn():
    turns, let_end, came, seen = Turns("one"), threading.Event(), threading.Event(), []

    def first():
        with turns.next():
            came.set()
            let_end.wait(10)
            seen.append("first")

    def second():
        with turns.next():
            seen.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert came.wait(10)
    threads[1].start()
    let_end.set()
    for thread in threads:
        thread.join(10)
    assert seen == ["first", "second"]


def test_an_error_ends_the_turn_of_all_that_wait():
    turns = Turns("one")
    with pytest.raises(ValueError, match="broken"), turns.next():
        raise ValueError("broken")
    with pytest.raises(ValueError, match="broken"), turns.next():
        pass
