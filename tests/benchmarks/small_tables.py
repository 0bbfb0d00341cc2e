"""b: many small CSV files, without a scoring script."""

from __future__ import annotations

import math

import pyarrow as pa
from data import save_regression, write_csvs
from harness import WORKERS, Bench, Contender, Measured, Verdict, WrongOutput
from scored_files import contenders_that_score, judge_scored
from server import Endpoint

TITLE = "CSV files of 100 rows, no-code"
ROUNDS = 3


def contenders(bench: Bench) -> list[Contender]:
    files = bench.place / "files"
    expected = write_csvs(files, bench.size(5_000, 500), 100)
    model = save_regression(bench.place)

    def check(found: pa.Table) -> None:
        columns = (found[name].to_pylist() for name in ("file", "row", "prediction"))
        told = {(file, row): value for file, row, value in zip(*columns, strict=True)}
        if found.num_rows != len(expected) or told.keys() != expected.keys():
            raise WrongOutput(f"{found.num_rows} rows of {len(expected)}, or others")
        if not all(math.isclose(value, expected[place], rel_tol=1e-6) for place, value in told.items()):
            raise WrongOutput("predictions differ")

    endpoint = Endpoint(
        bench.server,
        bench.place,
        "tables",
        model=model,
        max_concurrency_per_instance=WORKERS,
        output_file_name="predictions.parquet",
    )
    return contenders_that_score(bench, "tables", files, endpoint, model, check)


def judge(measured: Measured) -> list[Verdict]:
    return judge_scored(measured)
