"""How rows are packed into mini-batches of a size, whatever the files are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_endpoints.errors import InputError, SpecError
from batch_endpoints.planning.job_plan import plan_parts
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import (
    WHOLE,
    Cuts,
    Group,
    Part,
    TableOutline,
    packed,
    partition_size,
    partitions,
    suitable_size,
)


def outline(path, lengths, columns=("a",), begin=3, stretch=2):
    """A file whose rows have these lengths in bytes."""
    ends = [begin + sum(lengths[: at + 1]) for at in range(len(lengths))]
    cuts = [
        Cuts(ends[at : at + stretch], range(at + 1, min(at + stretch, len(ends)) + 1))
        for at in range(0, len(ends), stretch)
    ]
    return TableOutline(path, columns, begin, cuts)


@given(
    files=st.lists(st.lists(st.integers(1, 9), max_size=8), max_size=5),
    amount=st.integers(1, 20),
    in_rows=st.booleans(),
    stretch=st.integers(1, 4),
)
def test_every_row_is_in_one_mini_batch_in_order_and_none_is_larger_than_it_must_be(files, amount, in_rows, stretch):
    outlines = [outline(f"{n}", lengths, stretch=stretch) for n, lengths in enumerate(files)]
    size = partition_size(f"{amount} rows" if in_rows else f"{amount}B")

    found = list(partitions(outlines, size))

    at = {f"{n}": (3, 0) for n in range(len(files))}
    order = []
    for batch in found:
        assert batch
        held = sum(part.rows if in_rows else part.end - part.start for _, part in batch)
        assert held <= amount or (len(batch) == 1 and batch[0][1].rows == 1)
        for path, part in batch:
            assert (part.start, part.first_row) == at[path]
            assert part.end == 3 + sum(files[int(path)][: part.first_row + part.rows])
            at[path] = part.end, part.first_row + part.rows
            order.append(path)
    assert at == {f"{n}": (3 + sum(lengths), len(lengths)) for n, lengths in enumerate(files)}
    assert order == sorted(order)
    assert set(order) == set(at)  # a file without rows is there as well
    for batch, behind in pairwise(found):
        if in_rows and batch[-1][1].rows and behind[0][1].rows:
            assert sum(part.rows for _, part in batch) == amount


def test_files_of_other_columns_begin_another_mini_batch():
    files = [outline("a", [1]), outline("b", [1]), outline("c", [1], columns=("other",))]
    assert [[path for path, _ in batch] for batch in partitions(files, partition_size("9 rows"))] == [
        ["a", "b"],
        ["c"],
    ]


class Breaking:
    """Cuts of a file that can be read up to some place."""

    def __init__(self, *cuts):
        self.cuts = cuts

    def __iter__(self):
        yield from self.cuts
        raise InputError("the disk is broken")


def test_a_file_that_cannot_be_read_is_an_item_all_the_same():
    unreadable = TableOutline("b", None, 0, Breaking())
    found = list(partitions([outline("a", [1]), unreadable, outline("c", [1])], partition_size("9 rows")))
    assert found == [[("a", Part(3, 4, 0, 1)), ("b", WHOLE), ("c", Part(3, 4, 0, 1))]]


def test_what_lies_behind_the_place_where_reading_fails_is_an_item_too():
    broken = TableOutline("a", ("a",), 0, Breaking(Cuts([5, 10, 15], [1, 2, 3])))
    found = [part for batch in partitions([broken], partition_size("2 rows")) for part in batch]
    assert found == [("a", Part(0, 10, 0, 2)), ("a", Part(10, 15, 2, 1)), ("a", Part(15, -1, 3, -1))]


@pytest.mark.parametrize(
    ("size", "places"),
    [
        ("1 rows", [(-1, 0), (100, 1), (100, 2), (250, 0), (250, 1), (300, 0)]),
        ("2 rows", [(-1, 0), (100, 2), (250, 1), (300, 0)]),
        ("3 rows", [(-1, 0), (250, 0), (300, 0)]),
        ("9 rows", [(-1, 0), (300, 0)]),
    ],
)
def test_a_part_says_in_which_group_of_rows_it_begins(size, places):
    """Each but the first, which begins where its file does; also the one behind the place where reading fails."""
    groups = [Cuts([1, 2, 3], [1, 2, 3], Group(100, 180, 0)), Cuts([4, 5], [4, 5], Group(250, 300, 3))]
    broken = TableOutline("a", ("a",), 0, Breaking(*groups))
    found = [part for batch in partitions([broken], partition_size(size)) for _, part in batch]
    assert [(part.group, part.skip) for part in found] == places
    assert found[-1]._replace(group=-1, skip=0) == Part(5, -1, 5, -1)


def test_a_mini_batch_never_has_two_parts_of_one_file():
    broken = TableOutline("a", ("a",), 0, Breaking(Cuts([5, 10, 15], [1, 2, 3])))
    found = list(partitions([broken, outline("b", [1])], partition_size("9 rows")))
    assert found == [[("a", Part(0, 15, 0, 3))], [("a", Part(15, -1, 3, -1)), ("b", Part(3, 4, 0, 1))]]


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MB", (64 << 20, False)), ("5000 rows", (5000, True)), ("1 kb", (1024, False)), ("7b", (7, False))],
)
def test_sizes_are_in_bytes_or_rows(text, size):
    assert tuple(partition_size(text)) == size


def test_a_size_of_nothing_is_refused():
    with pytest.raises(SpecError, match="is no size"):
        partition_size("0 rows")


def test_a_plan_of_parts_counts_parts_as_items():
    parts = [[("a", Part(0, 5, 0, 1))], [("a", Part(5, 9, 1, 1)), ("b", Part(0, 5, 0, 1))]]
    plan = plan_parts("/in", parts, 1, lambda: b"types")
    assert (plan.mini_batches, plan.items, plan.columns) == (2, 3, b"types")
    assert [bundle.parts for bundle in plan.bundles] == [((parts[0][0][1],),), (tuple(p for _, p in parts[1]),)]


@given(sizes=st.lists(st.integers(0, 30), max_size=12), most=st.integers(1, 20))
def test_whole_files_are_packed_in_order_and_only_large_or_unknown_ones_are_cut(sizes, most):
    files = [InputFile(f"{n:02}", size) for n, size in enumerate(sizes)]
    cut = []

    def halves(file):
        cut.append(file.size)
        return [[(file.path, Part(0, 1, 0, 1))], [(file.path, Part(1, -1, 1, 1))]]

    found = list(packed(reversed(files), most, halves))

    assert cut == [size for size in sizes if not 0 < size <= most]
    assert list(dict.fromkeys(path for batch in found for path, _ in batch)) == [file.path for file in files]
    held = [sum(sizes[int(path)] for path, part in batch if part == WHOLE) for batch in found]
    assert all(size <= most for size in held)
    whole = [size for size, batch in zip(held, found, strict=True) if batch[0][1] == WHOLE]
    following = [one for one in found if one[0][1] == WHOLE]
    for n, size in enumerate(whole[:-1]):  # none could have had the file that came next
        last, after = int(following[n][-1][0]), int(following[n + 1][0][0])
        assert after > last + 1 or size + sizes[after] > most


@pytest.mark.parametrize(
    ("total", "workers", "size"),
    [(1 << 50, 1, 16 << 20), (0, 1, 1 << 20), (80 << 20, 2, 10 << 20), (80 << 20, 100, 1 << 20)],
    ids=["large", "small", "some for each worker", "many workers"],
)
def test_a_suitable_size_gives_each_worker_some_mini_batches(total, workers, size):
    assert suitable_size(total, workers) == size
