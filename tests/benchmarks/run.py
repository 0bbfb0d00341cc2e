"""The benchmarks: what the engine costs beside the work itself, against what an expert would write by hand.

    python tests/benchmarks/run.py [--only a,d,e] [--size small|full] [--rounds N] [--json out.json]

Each workload runs its contenders in turn, for several rounds, on seeded data, checks the output of each before its
time counts, and compares medians of what ran in the same rounds. Peers that are not installed are left out
(``pip install -e '.[benchmarks]'``; PySpark needs a Java runtime besides). ``small`` only shows that all of it works.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Bench, Measured, Verdict, measure
from server import Server

# own overheads first, in the order of what they cost
WORKLOADS = {
    "d": "many_mini_batches",
    "f": "fixed_cost",
    "h": "skew",
    "e": "tiny_job",
    "i": "planning",
    "a": "tabular",
    "b": "small_images",
    "b2": "small_tables",
    "g": "poison_rows",
    "c": "one_big_file",
    "j": "side_by_side",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="letters of the workloads, e.g. a,d,e")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--rounds", type=int, default=0, help="0: as many as the workload needs")
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    arguments = parser.parse_args()
    chosen = [letter for letter in arguments.only.split(",") if letter]
    if unknown := [letter for letter in chosen if letter not in WORKLOADS]:
        parser.error(f"there is no workload {unknown[0]!r}; there are {', '.join(sorted(WORKLOADS))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing stays behind
    place = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    document: dict[str, Any] = {"size": arguments.size, "cores": os.cpu_count(), "python": platform.python_version()}
    missed = False
    try:
        with Server(place / "home") as server:
            for letter in chosen:
                workload = importlib.import_module(WORKLOADS[letter])
                print(f"{letter}  {workload.TITLE} ({arguments.size})", file=sys.stderr, flush=True)
                began = time.monotonic()
                bench = Bench(place / letter, arguments.size == "small", server)
                bench.place.mkdir()
                rounds = arguments.rounds or (
                    getattr(workload, "SMALL_ROUNDS", 1) if bench.small else workload.ROUNDS
                )
                measured = measure(workload.contenders(bench), rounds, bench.place)
                verdicts = workload.judge(measured)
                shutil.rmtree(bench.place, ignore_errors=True)
                missed |= any(verdict.met is False for verdict in verdicts)
                _print(letter, workload.TITLE, measured, verdicts)
                document[letter] = _document(workload.TITLE, measured, verdicts, time.monotonic() - began)
                if arguments.json:
                    arguments.json.write_text(json.dumps(document, indent=2))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return int(missed and arguments.size == "full")


def _print(letter: str, title: str, measured: Measured, verdicts: list[Verdict]) -> None:
    print(f"\n{letter}  {title}   (medians of {len(measured.rounds)} rounds, load average {measured.load})")
    names = list(dict.fromkeys(name for numbers in measured.medians.values() for name in numbers))
    rows = [["", *names]]
    for contender, numbers in measured.medians.items():
        rows.append([contender, *(f"{numbers[name]:,.3f}" if name in numbers else "–" for name in names)])
    widths = [max(len(row[at]) for row in rows) for at in range(len(names) + 1)]
    for row in rows:
        print(
            "   "
            + row[0].ljust(widths[0])
            + "".join(f"  {cell.rjust(widths[at + 1])}" for at, cell in enumerate(row[1:]))
        )
    for verdict in verdicts:
        word = {True: "met", False: "MISSED", None: "beside it"}[verdict.met]
        print(f"   {word:>12}: {verdict.target}: {verdict.value}")
    sys.stdout.flush()


def _document(title: str, measured: Measured, verdicts: list[Verdict], seconds: float) -> dict[str, Any]:
    return {
        "title": title,
        "load_average": measured.load,
        "seconds": round(seconds, 1),
        "medians": measured.medians,
        "rounds": list(measured.rounds),
        "verdicts": [vars(verdict) for verdict in verdicts],
    }


if __name__ == "__main__":
    sys.exit(main())
