"""The rows of one mini-batch: read, with what cannot be read set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from batch_endpoints.engine.mini_batch_inputs import TableReader
from batch_endpoints.engine.poison_rows import Failure, Outcome, PoisonRow
from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import Part
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.specs import ModelDeployment
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.tables.column_types import columns_with_missing
from batch_endpoints.storage.tables.joined_tables import fits, wider_types
from batch_endpoints.storage.tables.parts import COLUMNS, PartRows
from batch_endpoints.storage.tables.table_files import is_text
from batch_endpoints.storage.tables.unreadable_rows import UnreadableRow

_POSITION = ("row", "file")  # what ``output_columns`` may name although the input lacks it


@dataclass
class ReadTable:
    """What could be read of an item.

    Args:
        together: equal for neighbours that may share a call.
    """

    item: str
    part: Part
    found: PartRows
    together: object = None


def read_tables(
    reader: TableReader, ranges: Sequence[tuple[str, Part]], deployment: ModelDeployment, outcome: Outcome
) -> list[ReadTable]:
    """Read the parts of a mini-batch; those without a row that can be read are in ``outcome``.

    A script gets the rows of all files at once, with types that hold what all of them have; a model without one
    those of consecutive files with the same columns and types: what it makes of a file must not depend on others.
    """
    no_code = deployment.code_configuration is None
    read: list[ReadTable] = []
    for (item, part), answer in zip(ranges, reader.read_each(ranges), strict=True):
        if found := _accepted(answer, item, part, deployment, outcome):
            # one that failed has a call of its own behind it, which keeps the order
            schema = found.table.schema
            there = (schema.metadata or {}).get(COLUMNS)
            kind = (schema, frozenset(columns_with_missing(schema)), is_text(item), len(outcome.failed), there)
            alike = kind if no_code else None
            read.append(ReadTable(item, part, found, alike))
    if not no_code:
        _read_again_with_common_types(reader, read, deployment, outcome)
    return [one for one in read if one.found.table.num_rows]


def add_unreadable_rows(read: Sequence[ReadTable], outcome: Outcome) -> None:
    """Tell the rows that could not be read, of items of which others could."""
    number = {one.item: at for at, one in enumerate(read)}
    found = [_poison(one.item, row) for one in read if one.item not in outcome.failed for row in one.found.unreadable]
    if found:
        outcome.rows = sorted([*outcome.rows, *found], key=lambda row: (number.get(row.item, -1), row.row))


def _accepted(
    found: PartRows | InputError, item: str, part: Part, deployment: ModelDeployment, outcome: Outcome
) -> PartRows | None:
    """Returns: None where nothing of it can be scored, which is in ``outcome``."""
    names = deployment.settings.output_columns
    if isinstance(found, InputError):
        outcome.fail(item, Failure(UserError("", str(found), of_rows=False)))
        return None
    if lacking := [n for n in names if n not in found.table.column_names and n not in _POSITION]:
        why = f"'{shown(item)}' has no column '{lacking[0]}', which output_columns names"
        outcome.fail(item, Failure(UserError("", why, of_rows=False)))
        return None
    if found.unreadable and not found.table.num_rows:
        if part.only:
            outcome.rows += [_poison(item, row) for row in found.unreadable]
        else:
            why = f"'{shown(item)}' cannot be read: {found.unreadable[0].reason}"
            outcome.fail(item, Failure(UserError("", why, of_rows=False)))
        return None
    return found


def _read_again_with_common_types(
    reader: TableReader, read: list[ReadTable], deployment: ModelDeployment, outcome: Outcome
) -> None:
    """So that text of one file does not meet numbers of another: files that were looked at alone."""
    texts = [one for one in read if b"text" in (one.found.table.schema.metadata or {})]
    types = wider_types([one.found.table for one in texts]) if texts else None
    if types is None:
        return
    for one in texts:
        if not fits(one.found.table, types):
            (again,) = reader.read_each([(one.item, one.part)], types)
            found = _accepted(again, one.item, one.part, deployment, outcome)
            if found is None:
                read.remove(one)
            else:
                one.found = found


def _poison(item: str, row: UnreadableRow) -> PoisonRow:
    failure = Failure(UserError("", f"the row cannot be read: {row.reason}", of_rows=False))
    return PoisonRow(item, row.row, failure, pa.table({"text": [row.text]}))
