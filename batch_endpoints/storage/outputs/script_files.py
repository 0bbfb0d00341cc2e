"""Files that a script writes to its output folder.

They go into the job folder after each mini-batch, and in the end into the output, where no other's file is replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs import FileSource, RenamedFile
from batch_endpoints.storage.job.commits import Commit, CommittedFile, of_retry
from batch_endpoints.storage.job.rounds import Rounds
from batch_endpoints.storage.outputs.free_names import FreeNames, short_name


def store_files(
    files: WritablePlace,
    folder: Path,
    note: Callable[[str], None],
    of_init: Collection[Path] = (),
    scratch: Path | None = None,
) -> list[CommittedFile]:
    """Move what a script wrote to its output folder into the job folder; only folders are left.

    A link is followed to a file of the output folder, or one that the script has otherwise made on this machine.

    Args:
        note: is told what a user should know: what is left out, or gets another name.
        of_init: what ``init()`` has written.
        scratch: the folder that a script's own files are in; None is the output folder alone.
    """
    if _is_empty(folder):  # after nearly every mini-batch, and to walk it takes longer
        return []
    within = os.path.realpath(scratch or folder)
    unique = uuid.uuid4().hex[:12]
    stored = []
    found = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    for path in sorted(found, key=lambda path: not path.is_symlink()):  # links first: what they lead to is moved then
        name = _as_text(path.relative_to(folder).as_posix())
        if name != path.relative_to(folder).as_posix():
            note(f"a script wrote a file whose name is not UTF-8: it is kept as '{name}'")
        if why := _left_out(path, within):
            note(f"a script wrote '{name}', which is {why}: it is left out of the output")
        else:
            place = f"parts/{unique}/{name}"
            with path.open("rb") as source, files.open_output(place) as copy:
                while block := source.read(1 << 20):
                    copy.write(block)
            stored.append(CommittedFile(name=name, stored=place, of_init=_digest(path) if path in of_init else ""))
        path.unlink(missing_ok=True)
    return stored


def write_files(
    files: WritablePlace,
    commits: Iterable[Commit],
    target: WritablePlace,
    rows_names: Collection[str] = (),
    others: Collection[str] = (),
) -> list[RenamedFile]:
    """Put the files that the scripts wrote into the output, each under its name of ``named_files``.

    Returns: the files that were renamed.
    """
    renamed = []
    first: dict[str, CommittedFile] = {}
    for file, name in named_files(commits, rows_names, others):
        first.setdefault(name, file)
        if name != file.name:
            why = "the rows go to it" if file.name in rows_names else "two mini-batches wrote it"
            why = "it was there before" if file.name in others else why
            before = first.get(file.name)
            kept = FileSource(mini_batch=before.mini_batch, input_files=before.input_files) if before else None
            renamed.append(
                RenamedFile(
                    file=file.name,
                    kept_as=name,
                    reason=why,
                    mini_batch=file.mini_batch,
                    input_files=file.input_files,
                    first=kept,
                )
            )
        with target.open_output(name) as copy, files.open_input(file.stored) as source:
            while block := source.read(1 << 20):
                copy.write(block)
    return renamed


def named_files(
    commits: Iterable[Commit], rows_names: Collection[str] = (), others: Collection[str] = ()
) -> Iterator[tuple[CommittedFile, str]]:
    """The files that the scripts wrote, each with its name in the output.

    Two mini-batches may have written the same name, or that of a file with the rows, or one of them a file where the
    other has a folder: the second is kept under a name with a number. What ``init()`` wrote is there once, since
    each process writes it anew, unless it is another one there.

    Args:
        rows_names: the files that the rows go to.
        others: files of somebody else, which stay as they are.
    """
    taken, of_init = FreeNames([*rows_names, *others]), set[tuple[str, str]]()
    for commit in commits:
        for file in commit.files:
            if file.of_init:
                if (file.name, file.of_init) in of_init:
                    continue
                of_init.add((file.name, file.of_init))
            yield file, taken.take(file.name)


def _is_empty(folder: Path) -> bool:
    """Is there nothing in it, or has a script removed it?"""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True


def _left_out(path: Path, within: str) -> str:
    """Why something cannot be stored; "" where it can."""
    if not path.is_symlink():
        if not path.is_file():
            return "neither a file nor a folder"
        return "" if os.access(path, os.R_OK) else "a file that may not be read, or is gone"
    leads_to = os.path.realpath(path)
    if os.path.isdir(leads_to):
        return "a link to a folder"
    if not os.path.isfile(leads_to):
        return "a link that leads nowhere"
    return "" if os.path.commonpath([leads_to, within]) == within else "a link to a file outside of the output folder"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _as_text(path: str) -> str:
    """The path, its names escaped where they are not UTF-8, since a commit has to hold it, and then short enough."""
    return "/".join(short_name(name.encode("utf-8", "backslashreplace").decode()) for name in path.split("/"))


def files_below(commit: Commit, folder: str) -> Commit:
    """The commit with the files alone that scripts wrote below this folder, by their names in it."""
    below = f"{folder}/"
    own = [file for file in commit.files if file.name.startswith(below)]
    return commit.model_copy(
        update={"files": tuple(file.model_copy(update={"name": file.name.removeprefix(below)}) for file in own)}
    )


def names_of_others(
    files: WritablePlace,
    target: WritablePlace,
    rounds: Rounds,
    rows_names: Callable[[Rounds], Collection[str]],
    output: str = "",
) -> frozenset[str]:
    """The files that are not this job's, as they were when it first came to write these rounds.

    Args:
        files: the job folder.
        rows_names: of some rounds the files that their rows go to.
        output: its name, where the job has several.
    """
    noted = _noted(files, len(rounds) - 1, output)
    if noted is None:
        others, own = frozenset[str](), set(rows_names(rounds))
        for retry in range(len(rounds) - 1):
            if (before := _noted(files, retry, output)) is not None:
                others, wrote = before, rounds[: retry + 1]
                own |= {name for _, name in named_files(chain.from_iterable(wrote), rows_names(wrote), before)}
        found = others.union(target.names("")) - own
        files.put_if_absent(_path(len(rounds) - 1, output), json.dumps(sorted(found)).encode())
        noted = _noted(files, len(rounds) - 1, output)
    return found if noted is None else noted


def _noted(files: WritablePlace, retry: int, output: str) -> frozenset[str] | None:
    try:
        return frozenset(json.loads(files.read(_path(retry, output))))
    except FileNotFoundError:
        return None


def _path(retry: int, output: str) -> str:
    return f"{of_retry(retry)}names-before{f'-{output}' if output else ''}.json"
