"""Mini-batches -> bundles: what one task of the cluster gets.

A cluster handles some 150 tasks a second, so tiny mini-batches are packed; a worker commits inside a bundle as it
goes, so packing costs nothing when the worker is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from batch_endpoints.planning.mini_batches import InputFile, mini_batches

BUNDLES_PER_WORKER = 32  # enough to even out skew; each costs 6 to 7 ms of the cluster's time


@dataclass(frozen=True)
class Bundle:
    """What one task of the cluster gets: consecutive mini-batches, numbered from ``start``.

    Args:
        mini_batches: of each the files, relative to the input.
    """

    index: int
    start: int
    mini_batches: Sequence[Sequence[str]]


@dataclass(frozen=True)
class JobPlan:
    """All that a job will do, in the order of its output.

    Args:
        root: what the files' paths are relative to.
    """

    root: str
    bundles: tuple[Bundle, ...]

    @property
    def mini_batches(self) -> int:
        return sum(len(bundle.mini_batches) for bundle in self.bundles)

    @property
    def items(self) -> int:
        return sum(len(files) for bundle in self.bundles for files in bundle.mini_batches)


def plan_job(root: str, files: Iterable[InputFile], mini_batch_size: int | str, workers: int) -> JobPlan:
    """The whole plan, in the order of the output.

    Args:
        root: what the files' paths are relative to.
        files: all files of the input, in any order.
        mini_batch_size: files for one ``run()`` call.
        workers: processes that will score, at least 1.

    Returns: bundles of consecutive mini-batches, whose lengths differ by one at most.
    """
    cut = [tuple(file.path for file in batch) for batch in mini_batches(files, mini_batch_size)]
    count = min(len(cut), BUNDLES_PER_WORKER * workers)
    starts = [len(cut) * index // count for index in range(count)] + [len(cut)] if count else []
    bundles = (Bundle(index, start, tuple(cut[start:end])) for index, (start, end) in enumerate(pairwise(starts)))
    return JobPlan(root, tuple(bundles))


def remaining(plan: JobPlan, committed_until: Mapping[int, int]) -> list[Bundle]:
    """The bundles that are not wholly committed, whole: a worker itself skips what its bundle has.

    Args:
        committed_until: bundle index -> end of its chain of commits (exclusive mini-batch number).
    """
    return [b for b in plan.bundles if committed_until.get(b.index, b.start) < b.start + len(b.mini_batches)]
