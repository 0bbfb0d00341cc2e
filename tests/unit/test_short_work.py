import pytest

from batch_endpoints.policies.short_work import ShortWork


@pytest.mark.parametrize(
    ("every", "waiting", "ahead"),
    [
        pytest.param(0.05, 50, True, id="short"),
        pytest.param(0.05, 4, False, id="few are left"),
        pytest.param(0.6, 50, False, id="long"),
    ],
)
def test_short_pieces_are_handed_out_one_ahead_while_there_are_enough(every, waiting, ahead):
    work = ShortWork()
    for number in range(5):  # by two workers
        work.one_is_done(30 + number * every)
    assert work.one_ahead(30 + 4 * every, 2, waiting) is ahead


def test_nothing_is_ahead_before_it_is_known_how_long_a_piece_takes():
    work = ShortWork()
    assert not work.one_ahead(0.1, 2, 50)
    work.one_is_done(0.1)
    assert not work.one_ahead(0.1, 2, 50)
