"""h: mini-batches of very different costs: Zipf's law, and one straggler."""

from __future__ import annotations

import random
from pathlib import Path

from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, at_most
from server import OURS, Endpoint
from spans import SCRIPT, makespan, write_sleeps

TITLE = "skewed mini-batches: Zipf(1.2) and one 20-fold straggler"
ROUNDS = 3


def costs(count: int, total_seconds: float, seed: int = 1) -> list[float]:
    """Seconds of each mini-batch: the k-th costliest takes 1/k**1.2, in random order, and one of the middle takes 20
    times the mean besides."""
    chance = random.Random(seed)
    found = [1 / rank**1.2 for rank in range(1, count + 1)]
    scale = total_seconds / sum(found)
    found = [cost * scale for cost in found]
    chance.shuffle(found)
    found[chance.randrange(count // 4, 3 * count // 4)] = 20 * total_seconds / count
    return found


def contenders(bench: Bench) -> list[Contender]:
    count = bench.size(400, 100)
    seconds = costs(count, bench.size(40, 6))
    files = write_sleeps(bench.place / "files", seconds)
    bound = max(max(seconds), sum(seconds) / WORKERS)
    endpoint = Endpoint(
        bench.server, bench.place, "skew", script=SCRIPT, mini_batch_size=1, max_concurrency_per_instance=WORKERS
    )

    def ours(place: Path) -> Run:
        run = makespan(endpoint, files, count)
        return Run(run.seconds, (), {"bound": bound, "of_bound": run.more["makespan"] / bound, **run.more})

    return [Contender(OURS, ours)]


def judge(measured: Measured) -> list[Verdict]:
    return [at_most("makespan within 1.15 × max(longest, total ÷ workers)", measured.medians[OURS]["of_bound"], 1.15)]
