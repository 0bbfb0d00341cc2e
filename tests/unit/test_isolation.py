"""Any rows may be poison: exactly those fail, the others have their results in order, in few tries."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_endpoints.policies.isolation import PROBES, isolate


class Model:
    """Scores rows unless one of them is poison; fails with the words of its first one."""

    def __init__(self, poison, words=lambda row: f"row {row} is bad", empty=None, of_all=()):
        self.poison, self.words, self.empty, self.of_all = poison, words, empty, of_all
        self.tries = []

    def score(self, start, end):
        self.tries.append((start, end))
        if start == end:
            return self.empty
        bad = [row for row in self.poison if start <= row < end]
        return self.words(min(bad)) if bad else None

    def run(self, rows):
        return list(isolate(rows, self.score, lambda result: result, lambda result: result not in self.of_all))


@given(
    rows=st.integers(1, 300),
    data=st.data(),
    alike=st.booleans(),
    empty=st.sampled_from([None, "bad", "no rows"]),
)
def test_exactly_the_poison_rows_fail_and_the_others_keep_their_order(rows, data, alike, empty):
    poison = data.draw(st.sets(st.integers(0, rows - 1), max_size=rows - 1))
    model = Model(poison, (lambda row: "bad") if alike else (lambda row: f"row {row} is bad"), empty)

    found = model.run(rows)

    if len(found) == 1 and poison:  # the table itself seemed to be bad
        assert (alike, empty) == (True, "bad")
        assert {(rows - 1) * probe // (PROBES - 1) for probe in range(PROBES)} <= poison
        return
    assert [start for start, _, _ in found] == [0, *(end for _, end, _ in found)][:-1]
    assert found[-1][1] == rows
    assert {start for start, _, result in found if result} == poison
    assert all(end - start == 1 for start, end, result in found if result)
    k = len(poison)
    assert len(model.tries) <= 2 + 2 * PROBES + (2 * k * (math.log2(rows / k) + 2) if k else 0)
    assert len([one for one in model.tries if one[0] < one[1]]) == len(
        {one for one in model.tries if one[0] < one[1]}
    )


@given(rows=st.integers(2, 10**6))
def test_one_bad_row_among_many_takes_two_tries_for_each_halving(rows):
    model = Model({rows // 3})
    model.run(rows)
    assert len(model.tries) <= 2 + 2 * math.ceil(math.log2(rows))


@pytest.mark.parametrize("rows", [2, 3, 7, 1000, 10**5])
def test_an_error_of_the_table_is_known_from_no_rows_and_from_a_few(rows):
    model = Model(range(rows), lambda row: "no column 'b'", empty="no column 'b'")

    assert model.run(rows) == [(0, rows, "no column 'b'")]
    assert len(model.tries) <= 2 + PROBES


def test_one_good_row_is_not_lost_though_all_others_and_an_empty_table_fail_alike():
    model = Model(set(range(100)) - {99}, lambda row: "bad", empty="bad")

    assert [(start, end) for start, end, result in model.run(100) if not result] == [(99, 100)]


def test_what_may_not_be_cut_fails_together():
    assert Model({1}, lambda row: "one answer", of_all=["one answer"]).run(8) == [(0, 8, "one answer")]
    assert Model({2, 7}, of_all=["row 7 is bad"]).run(8)[-1] == (4, 8, "row 7 is bad")


def test_nothing_is_tried_before_it_is_asked_for():
    model = Model({0, 5})
    next(isolate(8, model.score, lambda result: result, lambda result: True))
    assert model.tries == [(0, 8), (0, 0), (0, 4), (0, 2), (0, 1)]
