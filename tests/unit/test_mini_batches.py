import random

import pytest

from batch_endpoints.planning.mini_batches import InputFile, mini_batches


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(0, 4, []), (3, 4, [3]), (4, 4, [4]), (9, 4, [4, 4, 1]), (3, 1, [1, 1, 1])],
    ids=["nothing", "less than one", "exactly one", "a shorter last one", "one file each"],
)
def test_files_are_cut_into_mini_batches_of_one_size(count, size, lengths):
    files = [InputFile(f"{n:03}.csv") for n in range(count)]
    cut = mini_batches(files, size)
    assert [len(batch) for batch in cut] == lengths
    assert [file for batch in cut for file in batch] == files


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_listing_changes_nothing(seed):
    rng = random.Random(seed)
    files = [InputFile(f"part-{n:03}", size=rng.randrange(9)) for n in range(rng.randrange(40))]
    assert mini_batches(rng.sample(files, len(files)), 4) == mini_batches(files, 4)
