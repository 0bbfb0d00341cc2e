"""Daft with its own readers and writers, and a class that scores in processes of its own.

It writes its output at the end, so the processes note when they have scored how many rows, in files beside it.
"""

import os
import sys
import time

import daft
from daft import DataType
from tasks import FEATURES, KINDS, chunks

if __name__ == "__main__":
    kind, folder, output, model, workers = sys.argv[1:]
    daft.set_runner_native()
    os.environ["DAFT_PROGRESS_BAR"] = "0"

    types = {"string": DataType.string(), "long": DataType.int64(), "double": DataType.float64()}
    COLUMNS = {name: types[of] for name, of in (column.split() for column in KINDS[kind].schema.split(", "))}
    ROWS = DataType.list(DataType.struct(COLUMNS))

    @daft.cls(max_concurrency=int(workers), use_process=True)
    class Scorer:
        def __init__(self):
            self._task = KINDS[kind](model)

        def _mark(self, rows):
            with open(f"{output}/../marks-{os.getpid()}", "a") as marks:
                marks.write(f"{time.time()} {rows}\n")

        @daft.method.batch(return_dtype=DataType.float64(), batch_size=125_000)
        def probability(self, *columns):
            import pandas as pd

            frame = pd.DataFrame(
                {n: c.to_arrow().to_numpy() for n, c in zip(["id", *FEATURES], columns, strict=True)}
            )
            found = self._task.score_frame(frame)["probability"].to_numpy()
            self._mark(len(found))
            return found

        @daft.method.batch(return_dtype=ROWS, batch_size=1)
        def scored(self, chunk):
            found = [self._task.score(paths).to_pylist() for paths in chunk.to_pylist()]
            self._mark(sum(map(len, found)))
            return found

    scorer = Scorer()
    if kind == "tabular":
        frame = daft.read_parquet(f"{folder}/*.parquet")
        columns = [frame[name] for name in ["id", *FEATURES]]
        found = frame.select(frame["id"], scorer.probability(*columns).alias("probability"))
    else:
        frame = daft.from_pydict({"paths": chunks(folder, KINDS[kind].files_at_once)})
        frame = frame.select(scorer.scored(frame["paths"]).alias("rows")).explode("rows")
        found = frame.select(*(frame["rows"].get(name).alias(name) for name in COLUMNS))
    found.write_parquet(output)
