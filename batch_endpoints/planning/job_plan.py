"""Mini-batches -> bundles: what one task of the cluster gets.

A cluster handles some 150 tasks a second, so tiny mini-batches are packed; a worker commits inside a bundle as it
goes, so packing costs nothing when the worker is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from batch_endpoints.interfaces import Bundle
from batch_endpoints.planning.mini_batches import InputFile, mini_batches

BUNDLES_PER_WORKER = 32  # enough to even out skew; each costs 6 to 7 ms of the cluster's time


def plan_job(files: Iterable[InputFile], mini_batch_size: int | str, workers: int) -> list[Bundle]:
    """The whole plan, in the order of the output.

    Args:
        files: all files of the input, in any order.
        mini_batch_size: files for one ``run()`` call.
        workers: processes that will score, at least 1.

    Returns: bundles of consecutive mini-batches; their lengths differ by one at most.
    """
    cut = [tuple(file.path for file in batch) for batch in mini_batches(files, mini_batch_size)]
    count = min(len(cut), BUNDLES_PER_WORKER * workers)
    starts = [len(cut) * index // count for index in range(count)] + [len(cut)] if count else []
    return [
        Bundle(index=index, start=start, mini_batches=tuple(cut[start:end]))
        for index, (start, end) in enumerate(pairwise(starts))
    ]


def remaining(plan: Sequence[Bundle], committed_until: Mapping[int, int]) -> list[Bundle]:
    """The bundles that are not wholly committed, whole: a worker itself skips what its bundle has.

    Args:
        plan: all bundles.
        committed_until: bundle index -> end of its chain of commits (exclusive mini-batch number).
    """
    return [b for b in plan if committed_until.get(b.index, b.start) < b.start + len(b.mini_batches)]
