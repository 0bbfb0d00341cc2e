"""a: rows through a gradient boosting model, without a scoring script."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from data import save_classifier, write_parquet
from harness import WORKERS, Bench, Contender, Measured, Verdict, WrongOutput
from scored_files import contenders_that_score, judge_scored
from server import Endpoint

TITLE = "rows of 20 features in 16 Parquet files, gradient boosting, no-code"
ROUNDS = 3


def contenders(bench: Bench) -> list[Contender]:
    import mlflow.pyfunc

    rows = bench.size(2_000_000, 200_000)
    files = bench.place / "files"
    write_parquet(files, rows, 16)
    model = save_classifier(bench.place)
    expected = mlflow.pyfunc.load_model(str(model)).predict(pa.parquet.read_table(files).to_pandas())
    expected = expected.sort_values("id")["probability"].to_numpy()

    def check(found: pa.Table) -> None:
        found = found.select(["id", "probability"]).sort_by("id")
        if not np.array_equal(found["id"].to_numpy(), np.arange(rows)):
            raise WrongOutput(f"{found.num_rows} ids of {rows}, or others")
        if not np.allclose(found["probability"].to_numpy(), expected):
            raise WrongOutput("probabilities differ")

    endpoint = Endpoint(
        bench.server,
        bench.place,
        "tabular",
        model=model,
        max_concurrency_per_instance=WORKERS,
        output_file_name="predictions.parquet",
        retry_settings={"timeout": 300},
    )
    return contenders_that_score(bench, "tabular", files, endpoint, model, check)


def judge(measured: Measured) -> list[Verdict]:
    return judge_scored(measured)
