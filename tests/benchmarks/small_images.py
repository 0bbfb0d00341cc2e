"""b: many small images with a scoring script."""

from __future__ import annotations

import pyarrow as pa
from data import write_images
from harness import WORKERS, Bench, Contender, Measured, Verdict, WrongOutput
from scored_files import contenders_that_score, judge_scored
from server import Endpoint

TITLE = "small PNG files with a scoring script"
ROUNDS = 3
_SCRIPT = """
import os
import numpy as np
from PIL import Image

def run(mini_batch):
    means = []
    for path in mini_batch:
        with Image.open(path) as image:
            means.append(float(np.asarray(image).mean()))
    return means
"""


def contenders(bench: Bench) -> list[Contender]:
    files = bench.place / "files"
    means = write_images(files, bench.size(10_000, 1_000))

    def check(found: pa.Table) -> None:
        if dict(zip(found["file"].to_pylist(), found["prediction"].to_pylist(), strict=True)) != means:
            raise WrongOutput(f"{found.num_rows} results of {len(means)}, or others")
        if found.num_rows != len(means):
            raise WrongOutput(f"{found.num_rows} results of {len(means)}")

    endpoint = Endpoint(
        bench.server,
        bench.place,
        "images",
        script=_SCRIPT,
        mini_batch_size=50,
        max_concurrency_per_instance=WORKERS,
        output_file_name="predictions.parquet",
    )
    return contenders_that_score(bench, "images", files, endpoint, None, check)


def judge(measured: Measured) -> list[Verdict]:
    return judge_scored(measured)
