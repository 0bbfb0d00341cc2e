"""Which files belong together, by the folders that name their partition keys."""

import random

import pytest

from batch_endpoints.planning.job_plan import plan_groups, plan_retry
from batch_endpoints.planning.steps.partition_groups import folder_values, groups_of_files, partition_folder


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("k=1/x.csv", {"k": "1"}),
        ("a/k=1/b/x.csv", {"k": "1"}),
        ("k=a%2Fb%20c/x", {"k": "a/b c"}),
        ("k=a=b/x", {"k": "a=b"}),
        ("k=/x", {"k": ""}),
        ("k=__HIVE_DEFAULT_PARTITION__/x", {"k": None}),
        ("x/k=1", None),  # a file, not a folder
        ("K=1/x", None),
        ("x", None),
    ],
)
def test_folders_give_the_keys_their_values(path, values):
    assert folder_values(path, ["k"]) == values


@pytest.mark.parametrize("seed", range(20))
def test_values_are_read_back_from_the_folders_that_are_made_of_them(seed):
    rng = random.Random(seed)
    pieces = ["a", "/", "=", "%", " ", "..", "ü", "\n", "_", "1"]
    values = {key: "".join(rng.choices(pieces, k=rng.randrange(12))) for key in ("one", "two")} | {"three": None}
    folder = partition_folder(values)
    assert len(folder.split("/")) == 3
    assert folder_values(f"{folder}/0.arrow", list(values)) == values


def test_long_values_have_folders_of_their_own():
    first, other = (partition_folder({"k": "ü" * 300 + end}) for end in "ab")
    assert first != other
    assert max(map(len, (first, other))) <= 200


def test_groups_have_the_order_of_their_first_files():
    paths = ["a/k=2/x", "a/k=1/x", "b/k=2/x", "b/k=3/x"]
    assert groups_of_files(paths, ["k"]) == [("a/k=2/x", "b/k=2/x"), ("a/k=1/x",), ("b/k=3/x",)]
    assert groups_of_files([*paths, "x"], ["k"]) is None


def test_a_group_is_one_item_and_is_tried_again_whole():
    plan = plan_groups("root", [("a", "b"), ("c",), ("d", "e", "f")], 1, b"")
    assert (plan.items, plan.mini_batches) == (3, 3)
    assert [bundle.items(number) for bundle in plan.bundles for number in range(bundle.start, bundle.end)] == [
        ("a",),
        ("c",),
        ("d",),
    ]
    again = plan_retry(plan, {2: {"d": []}}, 1)
    assert (again.grouped, again.items) == (True, 1)
    assert [files for bundle in again.bundles for files in bundle.mini_batches] == [("d", "e", "f")]
