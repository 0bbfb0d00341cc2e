"""Commits: which mini-batches of a job count, and where their rows are.

The commits of one bundle form a chain. Each record is named by the number of its first mini-batch, says where its
range ends, and is created only if absent. A worker starts at the bundle's start, jumps from record to record to the
chain's end, and writes only there. So every start is reached in one way only, of two workers that race one wins,
the ranges never overlap, and a part without a record is garbage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import Field

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.planning.job_plan import Bundle, JobPlan
from batch_endpoints.specs import Spec


class FailedItem(Spec):
    """One input file, or part of one, without a result, and why.

    In a commit, of several items or rows with one reason only the first has the message, and only the first item the
    stack.
    """

    file: str = Field(description="relative to the input")
    mini_batch: int
    first_row: int | None = Field(None, description="of a part of a file: position of its first row, 0-based")
    rows: int | None = Field(None, description="of a part of a file: how many; None where they were not counted")
    reason: str = Field(description="what a person should read")
    error: str = Field("", description="class of the exception, where there was one")
    message: str = Field("", description="what the exception itself says, 10,000 characters at most")
    attempts: int = 1
    stack: str = Field("", description="last lines of the user's stack")
    inputs: tuple[dict[str, Any], ...] | None = Field(
        None, description="values of its first 1,000 rows; None where they are not to be kept, or were not read"
    )


class FailedRow(Spec):
    """One row without a result, of an item of which others have one."""

    file: str = Field(description="relative to the input")
    mini_batch: int
    row: int = Field(description="position in its file, 0-based, as in the output's column 'row'")
    reason: str
    error: str = ""
    message: str = Field("", description="as of an item")
    attempts: int = Field(1, description="tries of this row alone")
    stack: str = Field("", description="as of an item, where no other row of its commit has come the same way")
    input: dict[str, Any] | None = Field(None, description="its values; None where they are not to be kept")


class CommittedFile(Spec):
    """A file that a script wrote to its output folder."""

    name: str = Field(description="relative to the output folder")
    stored: str = Field(description="relative to the job folder")
    of_init: str = Field("", description="digest of its content, where init() wrote it: each process does so anew")
    mini_batch: int | None = Field(None, description="after which it was there; None of one that init() wrote")
    input_files: tuple[str, ...] = Field((), description="of that mini-batch, relative to the input")


class Commit(Spec):
    """What one record says of the mini-batches ``start`` to ``end`` (exclusive) of a bundle."""

    bundle: int
    start: int
    end: int
    parts: tuple[str, ...] = Field((), description="Arrow IPC files of its rows, relative to the job folder")
    columns: tuple[dict[str, str], ...] = Field(
        (), description="of each part, where the output is a folder of them: name -> type; see JobState.columns"
    )
    alike: dict[str, tuple[str, ...]] = Field({}, description="columns with values that such parts cannot tell apart")
    rows: int = 0
    rows_read: int | None = Field(None, description="None where nobody knows; see RowCounts")
    rows_in_failed: int = Field(0, description="of these, rows of the items that have failed")
    items_succeeded: int = 0
    attempts: int = Field(0, description="tries of all its mini-batches")
    seconds: float = Field(0.0, description="spent on these tries")
    failed: tuple[FailedItem, ...] = ()
    failed_rows: tuple[FailedRow, ...] = ()
    files: tuple[CommittedFile, ...] = ()
    notes: tuple[str, ...] = Field((), description="what a user should know of it")
    worker: str = ""
    unattributed: str = Field("", description="the first rows of which nobody knows the file or row, in a sentence")


class Totals(NamedTuple):
    """Sums over commits."""

    mini_batches: int = 0
    items_succeeded: int = 0
    items_failed: int = 0
    rows: int = 0
    rows_failed: int = 0

    @property
    def failures(self) -> int:
        """What counts towards ``error_threshold``: files and parts of files, and rows of the others."""
        return self.items_failed + self.rows_failed


class CommitLog:
    """The commits of one job folder. A record never changes, so each is read once.

    Args:
        retry: of which plan; see ``JobPlan``.
    """

    def __init__(self, files: WritablePlace, retry: int = 0) -> None:
        self._files, self._folder = files, f"{of_retry(retry)}commits"
        self._known: dict[str, Commit] = {}

    def at(self, bundle: int, start: int) -> Commit | None:
        """The commit that begins at a mini-batch, if there is one."""
        name = self._name(bundle, start)
        if name not in self._known:
            try:
                self._known[name] = Commit.model_validate_json(self._files.read(name))
            except FileNotFoundError:
                return None
        return self._known[name]

    def add(self, commit: Commit) -> Commit:
        """Make a range count.

        Returns: the commit that counts: this one, or that of a worker which was faster.
        """
        name = self._name(commit.bundle, commit.start)
        if self._files.put_if_absent(name, commit.model_dump_json().encode()):
            return commit
        return Commit.model_validate_json(self._files.read(name))

    def chain(self, bundle: Bundle) -> list[Commit]:
        """The commits of a bundle, in order, from its start to where the next one is to be written."""
        found: list[Commit] = []
        at = bundle.start
        while at < bundle.end and (commit := self.at(bundle.index, at)):
            found.append(commit)
            at = commit.end
        return found

    def chains(self, plan: JobPlan) -> dict[int, list[Commit]]:
        """The chain of every bundle that has one, in plan order."""
        folders = {name.partition("/")[0] for name in self._files.names(self._folder)}
        begun = {int(folder) for folder in folders if folder.isdecimal()}
        return {bundle.index: self.chain(bundle) for bundle in plan.bundles if bundle.index in begun}

    def committed(self, plan: JobPlan) -> list[Commit]:
        """All commits, in plan order."""
        return [commit for chain in self.chains(plan).values() for commit in chain]

    def _name(self, bundle: int, start: int) -> str:
        return f"{self._folder}/{bundle:06}/{start:09}.json"


def of_retry(retry: int) -> str:
    """What the plan and the commits of a retry have before their names in the job folder."""
    return f"retries/{retry}/" if retry else ""


def totals(commits: Iterable[Commit]) -> Totals:
    """What these commits amount to."""
    batches = succeeded = failed = rows = rows_failed = 0
    for commit in commits:
        batches += commit.end - commit.start
        succeeded += commit.items_succeeded
        failed += len(commit.failed)
        rows += commit.rows
        rows_failed += len(commit.failed_rows)
    return Totals(batches, succeeded, failed, rows, rows_failed)
