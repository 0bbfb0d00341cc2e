"""The accounts of a job: every item of its plan is in one commit, and there it has succeeded or failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from batch_endpoints.planning.job_plan import JobPlan
from batch_endpoints.specs import FileCounts, ItemCounts, RowCounts
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.job.commits import Commit, FailedItem, Totals, totals
from batch_endpoints.storage.job.rounds import Rounds, still_failed, total

MOST_SKIPPED = 100  # in the report; its counts are of all of them


def unaccounted(plan: JobPlan, committed: Sequence[Commit]) -> str:
    """What does not add up between the plan of one round and its commits, in one line; "" where all does.

    A job that has lost or doubled an item must not pass for Completed, so this trusts no sum: it takes the items of
    each commit from the plan.
    """
    bundles = {bundle.index: bundle for bundle in plan.bundles}
    reached = {bundle.index: bundle.start for bundle in plan.bundles}
    for commit in committed:
        bundle, done = bundles[commit.bundle], totals([commit])
        place = f"mini-batches {commit.start} to {commit.end - 1} of bundle {commit.bundle}"
        if commit.start != reached[commit.bundle]:
            return f"{place} are committed where {reached[commit.bundle]} is the next one"
        reached[commit.bundle] = commit.end
        given = [item for number in range(commit.start, commit.end) for item in bundle.items(number)]
        if len(given) != done.items_succeeded + done.items_failed:
            return (
                f"{place} have {len(given)} items, of which {done.items_succeeded} have succeeded and "
                f"{done.items_failed} have failed"
            )
        if strange := {item.file for item in commit.failed}.difference(given):
            return f"'{shown(min(strange))}' has failed in {place}, and is not in them"
    for index, end in reached.items():
        if end != bundles[index].end:
            return f"mini-batch {end} of bundle {index} is not committed"
    return ""


def accounts(plan: JobPlan, rounds: Rounds, *, writes_rows: bool = True) -> dict[str, Any]:
    """What the report says beyond the last progress, as fields of ``JobState``.

    Args:
        plan: of all of the input.
        writes_rows: the output has the rows that are returned.
    """
    done, left_out = total(rounds), len(plan.skipped)
    committed = list(chain.from_iterable(rounds))
    counted = [commit.rows_read for commit in committed if commit.rows_read is not None]
    read = sum(counted) if counted else None
    why = _why_not_equal(read, done, sum(commit.rows_in_failed for commit in committed), writes_rows)
    return {
        "files": None if plan.grouped else _files(plan, rounds),
        "items": ItemCounts(
            given=plan.items + left_out,
            succeeded=done.items_succeeded,
            failed=done.items_failed,
            skipped=left_out,
            not_scored=plan.items - done.items_succeeded - done.items_failed,
        ),
        "rows": RowCounts(read=read, failed=done.rows_failed, written=done.rows),
        "rows_explanation": why,
        "skipped": plan.skipped[:MOST_SKIPPED],
        "attempts": sum(commit.attempts for commit in committed),
        "worker_seconds": round(sum(commit.seconds for commit in committed), 3),
    }


def _why_not_equal(read: int | None, done: Totals, in_failed: int, writes_rows: bool) -> str:
    """Why the rows that were read are not those written and those failed, in a sentence.

    Args:
        in_failed: rows of items that have failed; where an item was tried again, of each time.
    """
    if read is None or read == done.rows + done.rows_failed:
        return ""
    if not writes_rows:
        return "no rows are written: output_action is summary_only, or a step has no append_row_to"
    found = [f"{_rows(in_failed)} of items that failed"] if in_failed else []
    more = done.rows + done.rows_failed + in_failed - read
    if more > 0:
        found.append(f"{_rows(more)} more returned than given")
    if more < 0:
        found.append(f"{_rows(-more)} fewer returned than given, and nothing states for which of them")
    return "; ".join(found)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _files(plan: JobPlan, rounds: Rounds) -> FileCounts:
    """Files by what became of all of their items and rows."""
    left = still_failed(rounds)
    items_failed = Counter(one.file for one in left if isinstance(one, FailedItem))
    some_failed = {one.file for one in left}
    counts = Counter(skipped=len(plan.skipped))
    for file, items, scored in _planned_files(plan, {commit.bundle: commit.end for commit in chain(*rounds[:1])}):
        if not scored:
            counts["not_scored"] += 1
        elif file in some_failed:
            counts["failed" if items_failed[file] == items else "partly_failed"] += 1
        else:
            counts["succeeded"] += 1
    return FileCounts(given=counts.total(), **counts)


def _planned_files(plan: JobPlan, reached: Mapping[int, int]) -> Iterator[tuple[str, int, bool]]:
    """Each file with the number of its items, and whether all of them are scored.

    The items of a file stand behind one another in a plan, so that one file is looked at, of however many there are.

    Args:
        reached: of each bundle the end of its commits.
    """
    items = (
        (file, number < reached.get(bundle.index, 0))
        for bundle in plan.bundles
        for number, files in enumerate(bundle.mini_batches, bundle.start)
        for file in files
    )
    for file, alike in groupby(items, key=itemgetter(0)):
        scored = [is_scored for _, is_scored in alike]
        yield file, len(scored), all(scored)
