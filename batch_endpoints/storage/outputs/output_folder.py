"""A folder as the output: the parts that workers have written, each under a name that tells its place.

They are in the output's format already, so that nobody has to read all rows again at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs import RowsFile
from batch_endpoints.storage.files.patience import at_once
from batch_endpoints.storage.job.commits import Commit
from batch_endpoints.storage.job.rounds import Rounds, in_order
from batch_endpoints.storage.outputs.formats import notes_of
from batch_endpoints.storage.outputs.rows import WrittenRows

_PREFIX = "part-"
_FAMILIES = (("int8", "int16", "int32", "int64"), ("uint8", "uint16", "uint32", "uint64"), ("string", "large_string"))
"""Types of which each holds all values of those before it, and writes them the same way."""


def folder_files(rounds: Rounds, rows: RowsFile) -> dict[str, str]:
    """The files of the folder, in the order of the output: path -> the part that it is of.

    Their names sort in that order. One keeps its name when failed items are tried again: what they bring has names
    behind that of the commit it belongs to.
    """
    return {f"{rows.name}{name}{rows.part_suffix}": part for name, part in _named(rounds)}


def write_folder(files: WritablePlace, rounds: Rounds, target: WritablePlace, rows: RowsFile) -> None:
    """Put all parts into the folder, and what an earlier job has left there out of it.

    Args:
        files: the job folder.
    """
    wanted = folder_files(rounds, rows)

    def copy(path: str) -> None:
        with target.open_output(path) as sink, files.open_input(wanted[path]) as source:
            while block := source.read(1 << 20):
                sink.write(block)

    at_once(copy, wanted)
    for name in target.names(rows.name.rstrip("/")):
        if name.startswith(_PREFIX) and rows.name + name not in wanted:
            target.delete(rows.name + name)


def described_folder(commits: Sequence[Commit], rows: RowsFile) -> WrittenRows:
    """The columns of all files of a folder, and what their format cannot tell apart, as their commits state it."""
    if rows.format == "azureml" or not all(len(commit.columns) == len(commit.parts) for commit in commits):
        return WrittenRows(None, ())  # commits of earlier versions state nothing
    kinds: dict[str, dict[str, None]] = {}
    for columns in chain.from_iterable(commit.columns for commit in commits):
        for name, kind in columns.items():
            kinds.setdefault(name, {})[kind] = None
    notes = notes_of(commit.alike for commit in commits)
    for some in kinds.values():
        if len(some) > 1:  # a column in which nothing has a value
            some.pop("null", None)
    if unlike := [f"{name} ({', '.join(some)})" for name, some in kinds.items() if len(some) > 1]:
        notes.append(
            f"the files in '{rows.name}' have columns of other types, as run() returned them: {', '.join(unlike)}"
        )
    return WrittenRows({name: _common(list(some)) for name, some in kinds.items()}, notes)


def _common(kinds: Sequence[str]) -> str:
    """The type by which a column of several files reads back; text where they differ in more than their size."""
    if len(kinds) == 1:
        return kinds[0]
    for family in _FAMILIES:
        if set(kinds) <= set(family):
            return max(kinds, key=family.index)
    return "string"


def _named(rounds: Rounds) -> Iterator[tuple[str, str]]:
    whole = {id(commit) for commit in rounds[0]} if rounds else set()
    start = number = 0
    for commit in in_order(rounds):
        if id(commit) in whole:
            start, number = commit.start, 0
        for part in commit.parts:
            yield f"{_PREFIX}{start:09}-{number:03}", part
            number += 1
