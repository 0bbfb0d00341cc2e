"""Contenders in turn, several rounds, medians and ratios.

The machine may be shared: only what ran in the same rounds is compared, each round in another order, and the load
average stands beside the numbers.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server import Server

WORKERS = 2  # processes that score, with one thread each, for every contender


@dataclass(frozen=True)
class Bench:
    """What a workload is given.

    Args:
        place: a folder of its own, removed afterwards.
        small: only to see that it works.
        server: a server of ours, with its Ray cluster; the peers that run on Ray use the same one.
    """

    place: Path
    small: bool
    server: Server

    def size(self, full: int, small: int) -> int:
        return small if self.small else full


@dataclass(frozen=True)
class Run:
    """What a contender took, once.

    Args:
        seconds: from asking for it until its whole output was there.
        marks: when how many units (rows, files) had their result; see ``pace``.
        more: other numbers, by name.
    """

    seconds: float
    marks: Sequence[tuple[float, int]] = ()
    more: Mapping[str, float] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float]:
        running = pace(self.marks)
        return {"seconds": self.seconds, **({"per_second": running} if running else {}), **self.more}


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Args:
        run: does it once, in an empty folder, and raises ``WrongOutput`` where the output is not the reference's.
    """

    name: str
    run: Callable[[Path], Run]


@dataclass(frozen=True)
class Verdict:
    """What a target says, what was measured, and whether that meets it; None where nothing could be compared."""

    target: str
    value: str
    met: bool | None


class WrongOutput(Exception):
    """A contender has not done the work."""


@dataclass(frozen=True)
class Measured:
    """One workload's numbers: contender -> name of a number -> its median."""

    medians: Mapping[str, Mapping[str, float]]
    rounds: Sequence[Mapping[str, Mapping[str, float]]]
    load: float

    def ratio(self, number: str, one: str, other: str) -> float | None:
        """The median of the rounds' ratios; None where one of the two did not run."""
        pairs = [
            (row[one][number], row[other][number])
            for row in self.rounds
            if number in row.get(one, {}) and number in row.get(other, {})
        ]
        return median(a / b for a, b in pairs) if pairs else None


def pace(marks: Sequence[tuple[float, int]], workers: int = WORKERS) -> float | None:
    """Units a second once all workers run: from the time when as many results as there are workers had come, until
    the last one. None where there are too few to say."""
    ordered = sorted(marks)
    later = ordered[workers:]
    if not later or later[-1][0] <= ordered[workers - 1][0]:
        return None
    return sum(units for _, units in later) / (later[-1][0] - ordered[workers - 1][0])


def measure(contenders: Sequence[Contender], rounds: int, place: Path) -> Measured:
    """Let all contenders run in turn, each round in another order."""
    found: list[dict[str, dict[str, float]]] = []
    loads: list[float] = []
    for number in range(rounds):
        row: dict[str, dict[str, float]] = {}
        turn = number % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            folder = place / f"{contender.name.replace(' ', '-')}-{number}"
            folder.mkdir(parents=True)
            row[contender.name] = contender.run(folder).numbers
            shutil.rmtree(folder, ignore_errors=True)
            loads.append(os.getloadavg()[0])
            told = "  ".join(f"{name} {value:,.3f}" for name, value in row[contender.name].items())
            print(f"    round {number + 1}: {contender.name}: {told}", file=sys.stderr, flush=True)
        found.append(row)
    names = [contender.name for contender in contenders]
    medians = {
        name: {number: median(row[name][number] for row in found if number in row[name]) for number in found[0][name]}
        for name in names
    }
    return Measured(medians, found, round(median(loads), 2))


def at_least(target: str, value: float | None, bound: float, shown: str = "{:.2f}") -> Verdict:
    return Verdict(target, "–" if value is None else shown.format(value), None if value is None else value >= bound)


def at_most(target: str, value: float | None, bound: float, shown: str = "{:.2f}") -> Verdict:
    return Verdict(target, "–" if value is None else shown.format(value), None if value is None else value <= bound)


def seconds_of(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
