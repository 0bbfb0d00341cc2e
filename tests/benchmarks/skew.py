"""h: mini-batches of very different costs: Zipf's law, and one straggler."""

from __future__ import annotations

import random
from pathlib import Path

from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, at_most
from server import OURS
from spans import POOL, contenders_that_sleep

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
    seconds = costs(bench.size(400, 100), bench.size(40, 6))
    bound = max(max(seconds), sum(seconds) / WORKERS)

    def of_bound(contender: Contender) -> Contender:
        def run(place: Path) -> Run:
            found = contender.run(place)
            return Run(found.seconds, (), {"of_bound": found.more["makespan"] / bound, **found.more})

        return Contender(contender.name, run)

    return [of_bound(contender) for contender in contenders_that_sleep(bench, "skew", seconds)]


def judge(measured: Measured) -> list[Verdict]:
    ours, pool = (measured.medians[name]["of_bound"] for name in (OURS, POOL))
    return [
        at_most("makespan within 1.15 × max(longest, total ÷ workers)", ours, 1.15),
        Verdict("a pool's makespan", f"{pool:.2f} × the same", None),
    ]
