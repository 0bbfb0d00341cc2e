"""Our job against peers that all write Parquet files: runs them, checks their output, and reads from the files of it
when how many rows had their result; or from what a peer notes, which then has not written them yet."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, WrongOutput, at_least
from server import OURS, Endpoint
from tiny_job import submit_and_wait

POOL, RAY_DATA, SPARK, DAFT = "pool (the limit)", "ray data by hand", "pyspark", "daft"
_PEERS = Path(__file__).with_name("peers")
Check = Callable[[pa.Table], None]


def contenders_that_score(
    bench: Bench, kind: str, files: Path, endpoint: Endpoint, model: Path | None, check: Check
) -> list[Contender]:
    """Ours, the pool, and the peers that are installed.

    Args:
        kind: a task of ``peers/tasks.py``.
        check: raises WrongOutput; is given all rows of an output.
    """

    def ours(place: Path) -> Run:
        return endpoint.run(files, lambda job: check(pa.parquet.read_table(job / "named-outputs/score")))

    def peer(script: str) -> Callable[[Path], Run]:
        def run(place: Path) -> Run:
            output = place / "output"
            output.mkdir()
            arguments = [str(_PEERS / script), kind, str(files), str(output), str(model or ""), str(WORKERS)]
            began = time.monotonic()
            if script == "ray_data_peer.py":
                submit_and_wait(bench.server, [sys.executable, *arguments])
            else:
                _run([sys.executable, *arguments], place)
            seconds = time.monotonic() - began
            check(pa.dataset.dataset(output, format="parquet").to_table())
            return Run(seconds, noted_marks(place) or file_marks(output))

        return run

    found = [
        Contender(OURS, ours),
        Contender(POOL, peer("pool_peer.py")),
        Contender(RAY_DATA, peer("ray_data_peer.py")),
    ]
    if importlib.util.find_spec("pyspark") and shutil.which("java"):
        found.append(Contender(SPARK, peer("spark_peer.py")))
    if importlib.util.find_spec("daft"):
        found.append(Contender(DAFT, peer("daft_peer.py")))
    return found


def _run(command: list[str], scratch: Path) -> None:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(scratch),
        "SPARK_LOCAL_DIRS": str(scratch),
        "OMP_THREAD_LIMIT": "1",
        "PYTHONPATH": str(_PEERS),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "DAFT_PROGRESS_BAR": "0",
    }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise WrongOutput(f"{Path(command[1]).name} ended with {done.returncode}: {done.stdout[-3000:]}")


def file_marks(output: Path) -> list[tuple[float, int]]:
    """When each file of an output was complete, and its rows."""
    files = output.rglob("*.parquet")
    return [(path.stat().st_mtime, pa.parquet.read_metadata(path).num_rows) for path in files]


def noted_marks(place: Path) -> list[tuple[float, int]]:
    """When a peer that writes its output at the end has scored how many rows."""
    lines = [line.split() for path in place.glob("marks-*") for line in path.read_text().splitlines()]
    return [(float(when), int(rows)) for when, rows in lines]


def judge_scored(measured: Measured) -> list[Verdict]:
    """At least 0.95 of the limit once running, and ahead of all others; by total time where a peer shows its rows
    only at the end."""
    verdicts = [at_least("of the pool, once running, at least 0.95", measured.ratio("per_second", OURS, POOL), 0.95)]
    total = measured.ratio("seconds", OURS, POOL)
    verdicts.append(Verdict("of the pool's total time", "–" if total is None else f"{total:.2f}", None))
    for name in (RAY_DATA, SPARK, DAFT):
        if name not in measured.medians:
            verdicts.append(Verdict(f"ahead of {name}", "it is not installed: pip install -e '.[benchmarks]'", None))
            continue
        running, total = measured.ratio("per_second", OURS, name), measured.ratio("seconds", name, OURS)
        ahead = running or total or 0.0
        word = "once running" if running else "in total"
        verdicts.append(at_least(f"ahead of {name}, {word} (in total {total:.2f} ×)", ahead, 1.0, "{:.2f} ×"))
    return verdicts
