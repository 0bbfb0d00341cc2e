"""g: rows that the model cannot score, one in a thousand: what else is lost, and how much longer it takes."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from harness import WORKERS, Bench, Contender, Measured, Run, Verdict, WrongOutput
from server import Endpoint

TITLE = "mini-batches of 1,000 rows, one row of 1,000 fails its call, no-code"
ROUNDS = 3
CLEAN, POISONED = "clean", "poisoned"
_MODEL = Path(__file__).with_name("models") / "strict.py"


def contenders(bench: Bench) -> list[Contender]:
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    rows = bench.size(100_000, 20_000)
    mlflow.pyfunc.save_model(
        bench.place / "strict",
        python_model=str(_MODEL),
        signature=ModelSignature(Schema([ColSpec("double", "x")]), Schema([ColSpec("double")])),
        pip_requirements=["mlflow", "pandas"],
    )
    endpoint = Endpoint(
        bench.server,
        bench.place,
        "poison",
        model=bench.place / "strict",
        mini_batch_size="1000 rows",
        max_concurrency_per_instance=WORKERS,
        output_columns=["id"],
        output_file_name="predictions.parquet",
        retry_settings={"max_retries": 0},
    )
    poison = set(random.Random(5).sample(range(rows), rows // 1000))

    def contender(name: str, bad: set[int]) -> Contender:
        folder = bench.place / name
        folder.mkdir()
        lines = (f"{number},{-1 if number in bad else number}\n" for number in range(rows))
        (folder / "rows.csv").write_text("id,x\n" + "".join(lines))

        def run(place: Path) -> Run:
            lost: list[int] = []

            def check(job: Path) -> None:
                found = pa.parquet.read_table(job / "named-outputs/score")
                ids = map(int, found["id"].to_pylist())  # columns that a model does not know stay text
                told = dict(zip(ids, found["prediction"].to_pylist(), strict=True))
                if any(value != 2 * number for number, value in told.items()) or bad & told.keys():
                    raise WrongOutput("predictions differ")
                lost.append(rows - len(bad) - len(told))

            done = endpoint.run(folder, check)
            return Run(done.seconds, done.marks, {"rows_lost": lost[0], **done.more})

        return Contender(name, run)

    return [contender(CLEAN, set()), contender(POISONED, poison)]


def judge(measured: Measured) -> list[Verdict]:
    lost = measured.medians[POISONED]["rows_lost"]
    slower = measured.ratio("seconds", POISONED, CLEAN)
    running = measured.ratio("per_second", CLEAN, POISONED)
    return [
        Verdict("rows lost beyond the poison rows: 0", f"{lost:,.0f}", lost == 0),
        Verdict("slowdown in total", f"{slower:.2f} ×", None),
        Verdict("slowdown once running", "–" if running is None else f"{running:.2f} ×", None),
    ]
