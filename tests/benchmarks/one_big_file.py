"""c: one large CSV file with quoted newlines, without a scoring script: cut within the file, in bounded memory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet
from data import save_regression
from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, WrongOutput, at_least, at_most
from processes import Usage, watched
from scored_files import file_marks
from server import OURS, Endpoint

TITLE = "one CSV file with quoted newlines, no-code; MB of memory and CPU seconds are of all processes"
ROUNDS = 1
POOL = "pool"
SMALL_FILE, LARGE_FILE = "a tenth", "whole"
_PEER = Path(__file__).with_name("peers") / "one_big_csv.py"


def contenders(bench: Bench) -> list[Contender]:
    megabytes = bench.size(2_000, 100)
    model = save_regression(bench.place)
    endpoint = Endpoint(
        bench.server,
        bench.place,
        "big",
        model=model,
        max_concurrency_per_instance=WORKERS,
        output_file_name="predictions.parquet",
    )
    found = []
    for name, size in ((SMALL_FILE, megabytes / 10), (LARGE_FILE, megabytes)):
        folder = bench.place / name.replace(" ", "-")
        folder.mkdir()
        rows, total = _write(folder / "rows.csv", int(size * 1_000_000))
        found += _contenders(name, folder, rows, total, endpoint, model)
    return found


def _contenders(name: str, folder: Path, rows: int, total: float, endpoint: Endpoint, model: Path) -> list[Contender]:
    def check(output: Path) -> None:
        told = pa.dataset.dataset(output, format="parquet").to_table(columns=["prediction"])["prediction"]
        if len(told) != rows or abs(pa.compute.sum(told).as_py() / total - 1) > 1e-6:
            raise WrongOutput(f"{len(told)} rows of {rows}, or other predictions")

    def ours(place: Path) -> Run:
        return endpoint.run(folder, lambda job: check(job / "named-outputs/score"), watch=True)

    def pool(place: Path) -> Run:
        output, usage = place / "output", Usage()
        output.mkdir()
        with watched(os.getpid(), usage):
            began = time.monotonic()
            command = [sys.executable, _PEER, folder / "rows.csv", output, model, str(WORKERS)]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            seconds = time.monotonic() - began
        check(output)
        return Run(seconds, file_marks(output), usage.numbers)

    return [Contender(f"{OURS}, {name}", ours), Contender(f"{POOL}, {name}", pool)]


def judge(measured: Measured) -> list[Verdict]:
    small, large = (measured.medians[f"{OURS}, {name}"] for name in (SMALL_FILE, LARGE_FILE))
    by_pool = measured.medians[f"{POOL}, {LARGE_FILE}"]
    more = measured.ratio("peak_mb", f"{OURS}, {LARGE_FILE}", f"{OURS}, {SMALL_FILE}")
    total = measured.ratio("seconds", f"{OURS}, {LARGE_FILE}", f"{POOL}, {LARGE_FILE}")
    return [
        at_most("peak memory of ten times the data", more, 1.15, "{:.2f} ×"),
        at_least("cores in use, over the whole job", large["cpu_seconds"] / large["seconds"], 1.5, "{:.2f}"),
        Verdict("cores in use by the pool", f"{by_pool['cpu_seconds'] / by_pool['seconds']:.2f}", None),
        Verdict("of the pool's total time", f"{total:.2f}", None),
        Verdict(
            "peak",
            f"{small['peak_mb']:,.0f} MB and {large['peak_mb']:,.0f} MB; the pool's {by_pool['peak_mb']:,.0f} MB",
            None,
        ),
    ]


def _write(path: Path, size: int) -> tuple[int, float]:
    """Rows with a text that has newlines, quotes and commas; returns how many, and the sum of 2x + y."""
    chance = random.Random(6)
    block, total = [], 0.0
    for number in range(2_000):
        x, y = chance.random(), chance.random()
        text = "\n".join("".join(chance.choices("abc ,", k=chance.randrange(5, 40))) for _ in range(3))
        block.append(f'{number},{x},{y},"{text} said ""yes"""\n')
        total += 2 * x + y
    data = "".join(block)
    times = max(1, size // len(data))
    with path.open("w") as file:
        file.write("id,x,y,text\n")
        for _ in range(times):
            file.write(data)
    return 2_000 * times, total * times
