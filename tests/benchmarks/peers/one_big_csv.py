"""One CSV file, read as a stream and scored by a pool: ``one_big_csv.py INPUT OUTPUT MODEL WORKERS``. Quoted newlines
keep anybody from cutting it without reading it; so one process reads, and at most two blocks a worker wait."""

import sys
from multiprocessing import Pool
from threading import BoundedSemaphore

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

_model = None


def load(model):
    import mlflow.pyfunc

    global _model
    _model = mlflow.pyfunc.load_model(model)


def score(work):
    batch, target = work
    predictions = _model.predict(batch.to_pandas())
    pyarrow.parquet.write_table(pa.table({"prediction": predictions}), target)


if __name__ == "__main__":
    path, output, model, workers = sys.argv[1:]
    reader = pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=16 << 20),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(include_columns=["x", "y"]),
    )
    room = BoundedSemaphore(2 * int(workers))

    def blocks():
        for number, batch in enumerate(reader):
            room.acquire()
            yield pa.Table.from_batches([batch]), f"{output}/{number:05}.parquet"

    with Pool(int(workers), load, (model,)) as pool:
        for _ in pool.imap_unordered(score, blocks()):
            room.release()
