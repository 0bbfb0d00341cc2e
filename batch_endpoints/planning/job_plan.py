"""Mini-batches -> bundles: what one task of the cluster gets.

A cluster handles some 150 tasks a second, so tiny mini-batches are packed; a worker commits inside a bundle as it
goes, so packing costs nothing when the worker is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from batch_endpoints.planning.lazy_sequence import LazySequence
from batch_endpoints.planning.mini_batches import InputFile, by_path
from batch_endpoints.planning.partitions import WHOLE, Part
from batch_endpoints.specs import SkippedFile

BUNDLES_PER_WORKER = 32  # enough to even out skew; each costs 6 to 7 ms of the cluster's time


class MiniBatch(NamedTuple):
    """What one call of ``run()`` gets.

    Args:
        number: its place in the plan.
        files: relative to the input.
        parts: of each file the part of it; empty where they are whole.
    """

    number: int
    files: Sequence[str]
    parts: Sequence[Part] = ()

    def ranges(self) -> list[tuple[str, Part]]:
        """Each file with the part of it."""
        return list(zip(self.files, self.parts or [WHOLE] * len(self.files), strict=True))


@dataclass(frozen=True)
class Bundle:
    """What one task of the cluster gets: consecutive mini-batches, numbered from ``start``.

    Args:
        mini_batches: of each the files, relative to the input.
        parts: of each the part of every file; empty where mini-batches are whole files.
        retry, grouped: as of its plan.
    """

    index: int
    start: int
    mini_batches: Sequence[Sequence[str]]
    parts: Sequence[Sequence[Part]] = ()
    retry: int = 0
    grouped: bool = False

    @property
    def end(self) -> int:
        """The number behind that of its last mini-batch."""
        return self.start + len(self.mini_batches)

    def mini_batch(self, number: int) -> MiniBatch:
        at = number - self.start
        return MiniBatch(number, self.mini_batches[at], self.parts[at] if self.parts else ())

    def items(self, number: int) -> Sequence[str]:
        """What is counted of a mini-batch: its files or parts of them, without those of which only rows are tried;
        of a group the first file stands for all of it."""
        files = self.mini_batches[number - self.start]
        if self.grouped:
            return files[:1]
        if not self.parts:
            return files
        return [file for file, part in zip(files, self.parts[number - self.start], strict=True) if not part.only]


@dataclass(frozen=True)
class JobPlan:
    """All that a job will do, in the order of its output.

    Args:
        root: what the files' paths are relative to.
        columns: an Arrow schema, serialized: the types of columns in text files; empty where they are not known.
        retry: 0 for all of the input, 1 for what has failed of that, 2 for what has failed of 1, and so on.
        skipped: what the listing has left out.
        grouped: each mini-batch is one item: a group of files that share the values of the partition keys.
    """

    root: str
    bundles: tuple[Bundle, ...]
    columns: bytes = b""
    retry: int = 0
    skipped: tuple[SkippedFile, ...] = ()
    grouped: bool = False

    @cached_property
    def mini_batches(self) -> int:
        return sum(len(bundle.mini_batches) for bundle in self.bundles)

    @cached_property
    def items(self) -> int:
        if self.grouped:
            return self.mini_batches
        of_rows = sum(bool(part.only) for part in self._parts())
        return sum(len(files) for bundle in self.bundles for files in bundle.mini_batches) - of_rows

    @cached_property
    def rows(self) -> int:
        """Rows that are tried again, of items that have succeeded."""
        return sum(len(part.only) for part in self._parts())

    @cached_property
    def has_groups(self) -> bool:
        """Does any part say in which group of rows it begins?"""
        return any(part.group >= 0 for part in self._parts())

    def _parts(self) -> Iterable[Part]:
        return (part for bundle in self.bundles for parts in bundle.parts for part in parts)


def plan_job(root: str, files: Iterable[InputFile], mini_batch_size: int, workers: int) -> JobPlan:
    """The whole plan, in the order of the output.

    Args:
        root: what the files' paths are relative to.
        files: all files of the input, in any order.
        mini_batch_size: files for one ``run()`` call.
        workers: processes that will score, at least 1.

    Returns: bundles of consecutive mini-batches, whose lengths differ by one at most.
    """
    ordered = by_path(files)
    count = -(-len(ordered) // mini_batch_size)
    bundles = (
        Bundle(n, start, _WholeFiles(ordered, mini_batch_size, range(start, end)))
        for n, (start, end) in enumerate(_ranges(count, workers))
    )
    return JobPlan(root, tuple(bundles))


class _WholeFiles(LazySequence[tuple[str, ...]]):
    """Mini-batches of so many files."""

    def __init__(self, files: Sequence[InputFile], size: int, numbers: range) -> None:
        self._files, self._size, self._numbers = files, size, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def make(self, numbers: range) -> Iterator[tuple[str, ...]]:
        first, size = self._numbers.start, self._size
        paths = [file.path for file in self._files[(first + numbers.start) * size : (first + numbers.stop) * size]]
        return (tuple(paths[at : at + size]) for at in range(0, len(paths), size))


def plan_parts(
    root: str, mini_batches: Iterable[Sequence[tuple[str, Part]]], workers: int, columns: Callable[[], bytes]
) -> JobPlan:
    """The whole plan where mini-batches are parts of files.

    Args:
        mini_batches: of each its files, with the part of each.
        columns: asked for behind the last mini-batch; see ``JobPlan``.
    """
    paths: list[tuple[str, ...]] = []
    parts: list[tuple[Part, ...]] = []
    for batch in mini_batches:
        paths.append(tuple(path for path, _ in batch))
        parts.append(tuple(part for _, part in batch))
    bundles = (
        Bundle(n, start, tuple(paths[start:end]), tuple(parts[start:end]))
        for n, (start, end) in enumerate(_ranges(len(paths), workers))
    )
    return JobPlan(root, tuple(bundles), columns())


def plan_groups(root: str, groups: Sequence[tuple[str, ...]], workers: int, columns: bytes) -> JobPlan:
    """The whole plan where each mini-batch is a group of files.

    Args:
        columns: see ``JobPlan``.
    """
    bundles = (
        Bundle(n, start, tuple(groups[start:end]), grouped=True)
        for n, (start, end) in enumerate(_ranges(len(groups), workers))
    )
    return JobPlan(root, tuple(bundles), columns, grouped=True)


def plan_retry(before: JobPlan, failed: Mapping[int, Mapping[str, Sequence[int]]], workers: int) -> JobPlan:
    """The plan of another try for what has failed.

    Args:
        before: the plan that it has failed in.
        failed: number of each mini-batch of that plan in which something failed -> its items -> positions of their
            failed rows, none where the whole item has failed.

    Returns: a mini-batch for each of these, in their order and with their items in order, so that the n-th one
        belongs to the n-th in which something failed.
    """
    paths: list[tuple[str, ...]] = []
    parts: list[tuple[Part, ...]] = []
    for bundle in before.bundles:
        for at, items in enumerate(bundle.mini_batches):
            if again := failed.get(bundle.start + at):
                kept = [n for n, item in enumerate(items) if before.grouped or item in again]
                paths.append(tuple(items[n] for n in kept))
                of_items = bundle.parts[at] if bundle.parts else [WHOLE] * len(items)
                parts.append(tuple(of_items[n]._replace(only=tuple(again.get(items[n], ()))) for n in kept))
    if not any(bundle.parts for bundle in before.bundles) and not any(part.only for some in parts for part in some):
        parts = []
    retry = before.retry + 1
    bundles = (
        Bundle(n, start, tuple(paths[start:end]), tuple(parts[start:end]), retry, before.grouped)
        for n, (start, end) in enumerate(_ranges(len(paths), workers))
    )
    return JobPlan(before.root, tuple(bundles), before.columns, retry, grouped=before.grouped)


def _ranges(mini_batches: int, workers: int) -> Iterable[tuple[int, int]]:
    """First and behind-last mini-batch of each bundle."""
    count = min(mini_batches, BUNDLES_PER_WORKER * workers)
    starts = [mini_batches * index // count for index in range(count)] + [mini_batches] if count else []
    return pairwise(starts)


def remaining(plan: JobPlan, committed_until: Mapping[int, int]) -> list[Bundle]:
    """The bundles that are not wholly committed, whole: a worker itself skips what its bundle has.

    Args:
        committed_until: bundle index -> end of its chain of commits (exclusive mini-batch number).
    """
    return [b for b in plan.bundles if committed_until.get(b.index, b.start) < b.end]
