"""The logs of a job as one: its driver's, its workers' and its steps', merged by time while they are read.

A log is cut into sections, one for each line that has a time and what stands below it, and the sections of all logs
come in the order of their times: as good as the clocks of the nodes agree. No log is ever held as a whole.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from heapq import merge
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from batch_endpoints.errors import NotFound
from batch_endpoints.specs.log_lines import STAMP, TROUBLE
from batch_endpoints.storage.files.place import open_place, writable_place

FIRST_ATTEMPT = "attempt-1.log"  # of a command step
_PIECE_BYTES = 1 << 16  # held of each log at a time


class Section(NamedTuple):
    """Lines of one log that are of one time, or a piece of them.

    Args:
        log: in short: ``driver``, the end of the worker's name, or the step's path and these.
        time: as it stands in the log; empty before the first one.
        text: whole lines; of a very long one a piece, and of the last one what there is.
    """

    log: str
    time: bytes
    text: bytes

    def labelled(self) -> bytes:
        """Its lines, each with the name of the log in front."""
        label = f"{self.log:8} | ".encode()
        lines = self.text.removesuffix(b"\n")
        return label + lines.replace(b"\n", b"\n" + label) + self.text[len(lines) :]


def chosen_logs(folder_uri: str, worker: str, steps: Iterable[str] = ()) -> list[str]:
    """The logs of a job folder: the driver's first, then the workers' by number, then ``step/log`` of its steps.

    Args:
        worker: a part of their names; "" takes all.
        steps: paths of a pipeline's steps.

    Raises:
        NotFound: no log has such a name.
    """
    files = writable_place(folder_uri)
    of_steps = (f"{step}/{name}" for step in steps for name in files.names(f"steps/{step}/logs"))
    names = sorted([*files.names("logs"), *of_steps], key=_reading_order)
    chosen = [name for name in names if worker in name.removesuffix(".log")]
    if worker and not chosen:
        raise NotFound(
            f"no log of this job has '{worker}' in its name",
            mend=f"It has: {', '.join(name.removesuffix('.log') for name in names[:20]) or 'none yet'}.",
        )
    return chosen


@contextmanager
def logs_on_disk(folder_uri: str, names: Iterable[str]) -> Iterator[Path]:
    """A job folder with these logs: in place where it is local, otherwise a copy of them while the block runs."""
    files = open_place(folder_uri)
    if files.disk:
        yield files.disk
        return
    with tempfile.TemporaryDirectory(prefix="batch-endpoints-") as folder:
        for name in names:
            copy = Path(folder, _path_of(name))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(files.fetch(_path_of(name), Path(folder, "fetched")), copy)
        yield Path(folder)


def merged_logs(
    folder_uri: str, *, worker: str = "", errors: bool = False, steps: Iterable[str] = ()
) -> Iterator[bytes]:
    """All logs of a job folder as one text; each line begins with the name of its log where there are several.

    Args:
        worker: as of ``chosen_logs``.
        steps: as of ``chosen_logs``.
        errors: as of ``JobLogs``.

    Raises:
        NotFound: no log has such a name.
    """
    return _text(folder_uri, chosen_logs(folder_uri, worker, steps), worker, errors)


class Reached(NamedTuple):
    """How far one log has been read.

    Args:
        offset: bytes; a last line that had no end is not among them.
        time: as of ``Section``.
        wanted: is what stands there part of what was asked for?
    """

    offset: int
    time: bytes
    wanted: bool


class JobLogs:
    """The logs of one job, each from where it was read to the last time.

    Args:
        place: the job's folder, with the logs of its steps if it is a pipeline's.
        worker: a part of their names; "" takes all.
        errors: only failed tries with their stacks, and what the driver warns of; nothing that the code printed.
        reached: where to begin, as :meth:`reached` of another reader of the same logs has returned it.
    """

    def __init__(
        self, place: Path, *, worker: str = "", errors: bool = False, reached: Mapping[str, Reached] | None = None
    ) -> None:
        self._place, self._worker, self._errors = place, worker, errors
        self._logs = {name: _Log(place / _path_of(name), name, errors, at) for name, at in (reached or {}).items()}

    def sizes(self) -> dict[str, int]:
        """Bytes of each log by its name, as of now."""
        found = chain(self._place.glob("logs/*"), self._place.glob("steps/*/logs/*"))
        names = {_name_of(path.relative_to(self._place)): path for path in found if path.is_file()}
        return {
            name: path.stat().st_size for name, path in names.items() if self._worker in name.removesuffix(".log")
        }

    def added(self, until: Mapping[str, int] | None = None) -> Iterator[Section]:
        """What has been added, by time; a last line that has no end yet is left for the next time.

        Args:
            until: sizes to read to; None reads what is there now.
        """
        sizes = self.sizes() if until is None else until
        for name in sizes:
            self._logs.setdefault(name, _Log(self._place / _path_of(name), name, self._errors))
        self._logs = dict(sorted(self._logs.items(), key=lambda named: _reading_order(named[0])))
        return merge(
            *(log.added(sizes[name]) for name, log in self._logs.items() if name in sizes), key=attrgetter("time")
        )

    def rest(self) -> Iterator[Section]:
        """The last line of each log, where it has no end: no more will come."""
        return chain.from_iterable(log.rest() for log in self._logs.values())

    def reached(self) -> dict[str, Reached]:
        """How far each log has been read, once all that was added has been taken."""
        return {name: log.reached() for name, log in self._logs.items()}


class _Log:
    """One log, cut into sections."""

    def __init__(self, path: Path, name: str, errors: bool, at: Reached | None = None) -> None:
        self._path, self._errors = path, errors
        self._label = _label(name)
        self._offset, self._time, self._wanted = at or Reached(0, b"", not errors)
        self._open_line = b""

    def added(self, size: int) -> Iterator[Section]:
        for piece in self._pieces(size):
            data = self._open_line + piece
            end = data.rfind(b"\n") + 1
            if not end and len(data) > _PIECE_BYTES:
                end = len(data)
            self._open_line = data[end:]
            yield from self._sections(data[:end])

    def rest(self) -> Iterator[Section]:
        yield from self._sections(self._open_line)
        self._open_line = b""

    def reached(self) -> Reached:
        return Reached(self._offset - len(self._open_line), self._time, self._wanted)

    def _sections(self, lines: bytes) -> Iterator[Section]:
        at = 0
        for found in STAMP.finditer(lines):
            yield from self._section(lines[at : found.start()])
            at = found.start()
            self._time = max(self._time, found[1])  # a clock that was set back must not mix up the lines
            self._wanted = not self._errors or found[2] in TROUBLE
        yield from self._section(lines[at:])

    def _section(self, text: bytes) -> Iterator[Section]:
        if text and self._wanted:
            yield Section(self._label, self._time, text)

    def _pieces(self, size: int) -> Iterator[bytes]:
        """What is there up to a size: a log that grows faster than it is read has an end too."""
        while self._offset < size:
            with self._path.open("rb") as file:  # for each piece: a process may not have as many files open
                file.seek(self._offset)
                piece = file.read(min(_PIECE_BYTES, size - self._offset))
            if not piece:
                return
            self._offset += len(piece)
            yield piece


def _text(folder_uri: str, names: list[str], worker: str, errors: bool) -> Iterator[bytes]:
    several = len(names) > 1
    unfinished = ""  # the log whose last line has no end so far
    with logs_on_disk(folder_uri, names) as place:
        logs = JobLogs(place, worker=worker, errors=errors)
        for section in chain(logs.added(), logs.rest()):
            text = section.text
            if unfinished == section.log and several:  # the rest of that line has no label
                line, mark, text = text.partition(b"\n")
                yield line + mark
            elif unfinished and unfinished != section.log:
                yield b"\n"
            if text:
                yield section._replace(text=text).labelled() if several else text
            unfinished = "" if section.text.endswith(b"\n") else section.log
    if unfinished:
        yield b"\n"


def _path_of(name: str) -> str:
    """Where a log is below its job folder."""
    step, slash, log = name.rpartition("/")
    return f"steps/{step}/logs/{log}" if slash else f"logs/{log}"


def _name_of(path: Path) -> str:
    """The name of a log that is at ``_path_of`` it, below its job folder."""
    return path.name if len(path.parts) == 2 else f"{path.parts[1]}/{path.name}"


def _label(name: str) -> str:
    """What stands before each line: of a step that has one log only its path, otherwise the end of the name too."""
    step, _, log = name.rpartition("/")
    short = log.removesuffix(".log").rpartition("-")[2]
    return short if not step else step if log == FIRST_ATTEMPT else f"{step}/{short}"


def _reading_order(name: str) -> tuple[str, bool, list[tuple[int, str]]]:
    """Those of the job itself first; the driver first; worker-2 before worker-10."""
    step, _, log = name.rpartition("/")
    parts = re.split(r"(\d+)", log)
    return step, log != "driver.log", [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
