"""Rounds: what has failed in a job may be tried again, and what fails then once more.

Round 0 scores all of the input. Round n is retry n: its plan, made when round n - 1 is complete, has a mini-batch for
each one of that round in which something failed, an item or a row, in the same order; so its n-th mini-batch belongs
to the n-th of those, and nobody has to write that down. A commit ends behind a mini-batch in which something failed,
and in a retry behind each mini-batch. That is what lets the rows that a retry wins take their place in the output:
right behind the rows of the mini-batch they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count

from batch_endpoints.storage.job.commits import Commit, FailedItem, FailedRow, Totals, totals
from batch_endpoints.storage.job.job_folder import JobFolder

Rounds = Sequence[Sequence[Commit]]
"""The commits of each round, in the order of its plan."""


def read_rounds(folder: JobFolder) -> Rounds:
    """What is committed of a job by now."""
    rounds: list[list[Commit]] = []
    while (plan := folder.plan(retry := len(rounds))) is not None:
        rounds.append(folder.commits(retry).committed(plan))
    return rounds


def in_order(rounds: Rounds) -> list[Commit]:
    """All commits, in the order of the output."""
    behind: dict[int, list[Commit]] = {}  # a mini-batch of the round that was looked at last -> what to write of it
    for commits in reversed(rounds):
        number = count()
        behind = {
            commit.start: [commit, *chain.from_iterable(behind.get(next(number), ()) for _ in failed_in([commit]))]
            for commit in commits
        }
    return list(chain.from_iterable(behind.values()))


def failed_in(commits: Iterable[Commit]) -> dict[int, dict[str, list[int]]]:
    """What failed in each mini-batch in which something did, in their order.

    Returns: of each its items -> positions of their failed rows, none where the whole item has failed.
    """
    failed: dict[int, dict[str, list[int]]] = {}
    for commit in commits:
        here: dict[int, dict[str, list[int]]] = {}
        for item in commit.failed:
            here.setdefault(item.mini_batch, {})[item.file] = []
        for row in commit.failed_rows:
            here.setdefault(row.mini_batch, {}).setdefault(row.file, []).append(row.row)
        failed |= sorted(here.items())
    return failed


def still_failed(rounds: Rounds) -> list[FailedItem | FailedRow]:
    """What has failed and was not tried again since, in the order of the input: items, and rows of other items.

    Returns: each with the number that its mini-batch has in round 0.
    """
    left: list[FailedItem | FailedRow] = []
    for commits, later, first in zip(rounds, [*rounds[1:], ()], _first_numbers(rounds), strict=False):
        tried_again = {commit.start for commit in later}
        numbers = {mini_batch: number for number, mini_batch in enumerate(failed_in(commits))}
        failed: Iterable[FailedItem | FailedRow]
        failed = chain.from_iterable((*commit.failed, *commit.failed_rows) for commit in commits)
        left += [
            one.model_copy(update={"mini_batch": first(one.mini_batch)})
            for one in failed
            if numbers[one.mini_batch] not in tried_again
        ]
    return sorted(left, key=lambda one: one.mini_batch)


def _first_numbers(rounds: Rounds) -> list[Callable[[int], int]]:
    """For each round, what says of a mini-batch of it which number it has in round 0."""
    found: list[Callable[[int], int]] = [lambda mini_batch: mini_batch]
    for commits in rounds[: max(len(rounds) - 1, 0)]:
        found.append([found[-1](mini_batch) for mini_batch in failed_in(commits)].__getitem__)
    return found[: len(rounds)]


def total(rounds: Rounds) -> Totals:
    """What a job amounts to: what failed and succeeded later has succeeded."""
    scored, left = totals(chain.from_iterable(rounds)), still_failed(rounds)
    items_failed = sum(isinstance(one, FailedItem) for one in left)
    return scored._replace(
        mini_batches=totals(chain.from_iterable(rounds[:1])).mini_batches,
        items_failed=items_failed,
        rows_failed=len(left) - items_failed,
    )
