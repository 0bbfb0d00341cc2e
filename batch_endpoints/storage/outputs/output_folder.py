"""A folder as the output: the parts that workers have written, each under a name that tells its place.

They are in the output's format already, so that nobody has to read all rows again at the end.
"""

from __future__ import annotations

from collections.abc import Iterator

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs import RowsFile
from batch_endpoints.storage.files.patience import at_once
from batch_endpoints.storage.job.rounds import Rounds, in_order

_PREFIX = "part-"


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


def _named(rounds: Rounds) -> Iterator[tuple[str, str]]:
    whole = {id(commit) for commit in rounds[0]} if rounds else set()
    start = number = 0
    for commit in in_order(rounds):
        if id(commit) in whole:
            start, number = commit.start, 0
        for part in commit.parts:
            yield f"{_PREFIX}{start:09}-{number:03}", part
            number += 1
