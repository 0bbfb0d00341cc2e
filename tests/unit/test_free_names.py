import random
from time import process_time

import pytest

from batch_endpoints.storage.outputs.free_names import FreeNames


def test_a_name_that_is_wanted_once_more_gets_the_next_number():
    names = FreeNames(["out-3.csv"])
    assert [names.take("out.csv") for _ in range(4)] == ["out.csv", "out-2.csv", "out-4.csv", "out-5.csv"]


def test_thousands_of_files_of_one_name_take_no_longer_than_as_many_names():
    names, began = FreeNames(["a/b", "x/out.csv"]), process_time()
    taken = [names.take(wanted) for _ in range(20_000) for wanted in ("out.csv", "x/out.csv")]
    assert process_time() - began < 10  # minutes, if each began to count anew
    assert taken[-2:] == ["out-20000.csv", "x/out-20001.csv"]


@pytest.mark.parametrize("seed", range(20))
def test_names_are_those_that_counting_from_two_would_find(seed):
    rng = random.Random(seed)
    wanted = ["/".join(rng.choices(["a", "b", "a-2", "b.c", "b-2.c"], k=rng.randint(1, 3))) for _ in range(60)]
    names, remembering = FreeNames(["a-3"]), FreeNames(["a-3"])
    for name in wanted:
        names._of_files.clear()
        names._of_folders.clear()
        assert remembering.take(name) == names.take(name)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        pytest.param("x" * 251 + ".txt", "x" * 249 + "-2.txt", id="with a suffix"),
        pytest.param("x" * 255, "x" * 253 + "-2", id="without"),
        pytest.param("x" * 249 + ".txt", "x" * 249 + "-2.txt", id="one that just fits"),
        pytest.param("ü" * 125 + "y.txt", "ü" * 124 + "-2.txt", id="at the border of a character"),
        pytest.param("x." + "y" * 253, "x." + "y" * 251 + "-2", id="nothing but a suffix"),
        pytest.param("a/" + "x" * 255, "a/" + "x" * 253 + "-2", id="in a folder"),
    ],
)
def test_a_name_with_a_number_is_no_longer_than_a_disk_allows(name, second):
    names = FreeNames([])
    taken = [names.take(name) for _ in range(150)]
    assert taken[:2] == [name, second]
    assert len(set(taken)) == 150
    assert all(len(one.rpartition("/")[2].encode()) <= 255 for one in taken)


def test_long_names_that_differ_only_where_they_are_shortened_stay_apart():
    names = FreeNames([])
    wanted = ["x" * 253 + end for end in ("aa", "bb")]
    assert len({names.take(name) for name in wanted * 20}) == 40


def test_a_folder_of_a_long_name_is_shortened_as_well():
    names = FreeNames(["x" * 255])
    assert names.take("x" * 255 + "/y") == "x" * 253 + "-2/y"
    assert names.take("x" * 255 + "/z") == "x" * 253 + "-2/z"
