"""Listings and plans of many files: in order, and in little memory."""

import random
import tracemalloc

import pytest

from batch_endpoints.planning.job_plan import plan_job
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs import listing as listing_module
from batch_endpoints.storage.inputs.listing import FileList
from batch_endpoints.storage.job.job_folder import JobFolder

NAMES = ["b", "a/é", "a/z", "a/\uffff", "a/𐀀", "a", "", "a/b"]


@pytest.mark.parametrize("seed", range(10))
def test_files_come_in_the_order_of_their_paths_however_they_were_found(seed):
    found = [InputFile(name, size) for size, name in enumerate(NAMES[: seed % 9])]
    ordered = sorted(found, key=lambda file: file.path)
    listed = FileList(random.Random(seed).sample(found, len(found)))
    assert list(listed) == ordered
    assert listed[2:5] == ordered[2:5]
    assert [listed[at] for at in range(len(found))] == ordered
    assert listed == ordered


def test_what_is_not_there_is_no_element():
    with pytest.raises(IndexError):
        FileList([InputFile("a")])[1]


def test_a_plan_reads_back_as_it_was_made(tmp_path):
    plan = plan_job("/data", [InputFile(f"{number:05}") for number in range(1_234)], 10, 3)
    stored = JobFolder(writable_place(tmp_path.as_uri()), tmp_path.as_uri()).write_plan(plan)
    assert stored == plan
    assert [stored.bundles[-1].mini_batch(number).files for number in (122, 123)] == [
        tuple(f"{number:05}" for number in range(1_220, 1_230)),
        tuple(f"{number:05}" for number in range(1_230, 1_234)),
    ]


def test_many_files_are_listed_and_planned_without_an_object_for_each(tmp_path, monkeypatch):
    count = 100_000
    monkeypatch.setattr(
        listing_module,
        "walk",
        lambda uri, access: ("/data", (InputFile(f"part-{n:07}.csv", n) for n in range(count))),
    )
    folder = JobFolder(writable_place(tmp_path.as_uri()), tmp_path.as_uri())
    FileList([InputFile("a")])  # Arrow's first array of a process imports pandas
    tracemalloc.start()
    try:
        listing = listing_module.list_files("/data")
        plan = folder.write_plan(plan_job(listing.root, listing.files, 10, 2))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (plan.items, plan.mini_batches) == (count, count // 10)
    # some of the files as objects, and the plan as it is stored; all files as objects take 20 MB and more
    assert peak < 6e6
