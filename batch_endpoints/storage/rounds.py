"""Rounds: what has failed in a job may be tried again, and what fails then once more.

Round 0 scores all of the input. Round n is retry n: its plan, made when round n - 1 is complete, has a mini-batch for
each one of that round in which something failed, in the same order; so its n-th mini-batch belongs to the n-th of
those, and nobody has to write that down. A commit ends behind a mini-batch with failed items, and in a retry behind
each mini-batch. That is what lets the rows that a retry wins take their place in the output: right behind the rows of
the mini-batch they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count

from batch_endpoints.storage.commits import Commit, FailedItem, FailedRow, Totals, totals
from batch_endpoints.storage.job_folder import JobFolder

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


def failed_in(commits: Iterable[Commit]) -> dict[int, set[str]]:
    """The failed items of each mini-batch that has any, in the order of the commits."""
    failed: dict[int, set[str]] = {}
    for commit in commits:
        for item in commit.failed:
            failed.setdefault(item.mini_batch, set()).add(item.file)
    return failed


def still_failed(rounds: Rounds) -> list[FailedItem]:
    """What has failed and was not tried again since, in the order of the input.

    Returns: each with the number that its mini-batch has in round 0.
    """
    left: list[FailedItem] = []
    for commits, later, first in zip(rounds, [*rounds[1:], ()], _first_numbers(rounds), strict=False):
        tried_again = {commit.start for commit in later}
        numbers = {mini_batch: number for number, mini_batch in enumerate(failed_in(commits))}
        for item in chain.from_iterable(commit.failed for commit in commits):
            if numbers[item.mini_batch] not in tried_again:
                left.append(item.model_copy(update={"mini_batch": first(item.mini_batch)}))
    return sorted(left, key=lambda item: item.mini_batch)


def failed_rows(rounds: Rounds) -> list[FailedRow]:
    """The failed rows of items that have succeeded, which are not tried again, as ``still_failed`` has the items."""
    rows = [
        row.model_copy(update={"mini_batch": first(row.mini_batch)})
        for commits, first in zip(rounds, _first_numbers(rounds), strict=True)
        for row in chain.from_iterable(commit.failed_rows for commit in commits)
    ]
    return sorted(rows, key=lambda row: row.mini_batch)


def _first_numbers(rounds: Rounds) -> list[Callable[[int], int]]:
    """For each round, what says of a mini-batch of it which number it has in round 0."""
    found: list[Callable[[int], int]] = [lambda mini_batch: mini_batch]
    for commits in rounds[: max(len(rounds) - 1, 0)]:
        found.append([found[-1](mini_batch) for mini_batch in failed_in(commits)].__getitem__)
    return found[: len(rounds)]


def total(rounds: Rounds) -> Totals:
    """What a job amounts to: what failed and succeeded later has succeeded."""
    scored = totals(chain.from_iterable(rounds))
    return scored._replace(
        mini_batches=totals(chain.from_iterable(rounds[:1])).mini_batches, items_failed=len(still_failed(rounds))
    )
