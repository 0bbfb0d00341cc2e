"""What has become of a mini-batch: its rows, and what failed, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from batch_endpoints.scoring.contract import UserError


class Failure(NamedTuple):
    """Why something has no result, and how often it was tried."""

    error: UserError
    attempts: int = 1


class PoisonRow(NamedTuple):
    """A row that fails alone.

    Args:
        row: position in its file.
        values: one row, with what ``run()`` was given, or with its text where that cannot be read; None where it
            could not be read again.
    """

    item: str
    row: int
    failure: Failure
    values: pa.Table | None = None


@dataclass
class Outcome:
    """What has come of a mini-batch by now.

    Args:
        tables: what ``run()`` returned: of each call the item and position of its first row, and its rows.
        failed: items without any result.
        rows: failed rows of the other items.
        inputs: of failed items that could be read, what ``run()`` was given of them.
        attempts: tries of all of it, or of some of it.
        rows_read: item -> rows that were there for the script or model; None where it reads files itself, and nobody
            knows.
        unattributed: as of ``Scored``.
        again: of items that have succeeded before, the positions of rows that are tried again, and fail as rows.
    """

    tables: list[tuple[str, int, pa.Table]] = field(default_factory=list)
    failed: dict[str, Failure] = field(default_factory=dict)
    rows: list[PoisonRow] = field(default_factory=list)
    inputs: dict[str, pa.Table] = field(default_factory=dict)
    attempts: int = 0
    rows_read: dict[str, int] | None = None
    unattributed: str = ""
    again: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        """What counts towards ``error_threshold``."""
        return len(self.failed) + len(self.rows)

    def fail(self, item: str, failure: Failure) -> None:
        """All that was to be scored of an item has failed."""
        if item in self.again:
            self.rows += [PoisonRow(item, row, failure) for row in self.again[item]]
        else:
            self.failed[item] = failure

    def fail_as_one(self, items: Sequence[str]) -> None:
        """A group is one item, which the first of its files stands for: it fails whole, or not at all."""
        if why := next((self.failed[item] for item in items if item in self.failed), None):
            self.failed = {items[0]: why}

    def in_order(self, items: Sequence[str]) -> list[pa.Table]:
        """The rows, in the order of the items."""
        number = {item: at for at, item in enumerate(items)}
        return [table for _, _, table in sorted(self.tables, key=lambda one: (number[one[0]], one[1]))]
