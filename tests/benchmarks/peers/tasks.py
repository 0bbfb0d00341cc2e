"""The work that all peers do with one chunk of files, as an expert writes it: no more copies than needed, one
``predict`` a chunk. ``KINDS``: the name of a task -> what loads the model and scores."""

import os

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

FEATURES = [f"f{number:02}" for number in range(20)]


class Tabular:
    """Parquet files with ids and features -> ids and probabilities."""

    files_at_once = 1
    schema = "id long, probability double"

    def __init__(self, model):
        import mlflow.pyfunc

        self._model = mlflow.pyfunc.load_model(model)

    def score_frame(self, frame):
        return self._model.predict(frame)

    def score(self, paths):
        frames = [self.score_frame(pyarrow.parquet.read_table(path, use_threads=False).to_pandas()) for path in paths]
        return pa.concat_tables([pa.Table.from_pandas(frame, preserve_index=False) for frame in frames])


class Images:
    """PNG files -> their names and mean brightness."""

    files_at_once = 50
    schema = "file string, prediction double"

    def __init__(self, model):
        pass

    def score(self, paths):
        import numpy as np
        from PIL import Image

        means = []
        for path in paths:
            with Image.open(path) as image:
                means.append(float(np.asarray(image).mean()))
        return pa.table({"file": [os.path.basename(path) for path in paths], "prediction": means})


class Tables:
    """CSV files -> file, row and prediction of each of their rows."""

    files_at_once = 50
    schema = "file string, row long, prediction double"

    def __init__(self, model):
        import mlflow.pyfunc

        self._model = mlflow.pyfunc.load_model(model)

    def score(self, paths):
        options = pyarrow.csv.ReadOptions(use_threads=False)
        tables = [pyarrow.csv.read_csv(path, read_options=options) for path in paths]
        found = self._model.predict(pa.concat_tables(tables).to_pandas())
        named = zip(paths, tables, strict=True)
        files = [name for path, table in named for name in [os.path.basename(path)] * table.num_rows]
        rows = [row for table in tables for row in range(table.num_rows)]
        return pa.table({"file": files, "row": rows, "prediction": found})


KINDS = {"tabular": Tabular, "images": Images, "tables": Tables}


def chunks(folder, size):
    """The files of a folder, in lists of ``size``."""
    paths = sorted(entry.path for entry in os.scandir(folder))
    return [paths[at : at + size] for at in range(0, len(paths), size)]
