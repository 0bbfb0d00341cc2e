"""What others had at an output's place before a job wrote there, so that it replaces no file of theirs.

It is noted once in each round, before anything of that round is written: later these files could not be told from the
job's own, of which a driver that was lost may have written some.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from itertools import chain

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.storage.job.commits import of_retry
from batch_endpoints.storage.job.rounds import Rounds
from batch_endpoints.storage.script_files import named_files


def names_of_others(
    files: WritablePlace, target: WritablePlace, rounds: Rounds, rows_names: Callable[[Rounds], Collection[str]]
) -> frozenset[str]:
    """The files that are not this job's, as they were when it first came to write these rounds.

    Args:
        files: the job folder.
        rows_names: of some rounds the files that their rows go to.
    """
    noted = _noted(files, len(rounds) - 1)
    if noted is None:
        others, own = frozenset[str](), set(rows_names(rounds))
        for retry in range(len(rounds) - 1):
            if (before := _noted(files, retry)) is not None:
                others, wrote = before, rounds[: retry + 1]
                own |= {name for _, name in named_files(chain.from_iterable(wrote), rows_names(wrote), before)}
        found = others.union(target.names("")) - own
        files.put_if_absent(_path(len(rounds) - 1), json.dumps(sorted(found)).encode())
        noted = _noted(files, len(rounds) - 1)
    return found if noted is None else noted


def _noted(files: WritablePlace, retry: int) -> frozenset[str] | None:
    try:
        return frozenset(json.loads(files.read(_path(retry))))
    except FileNotFoundError:
        return None


def _path(retry: int) -> str:
    return f"{of_retry(retry)}names-before.json"
