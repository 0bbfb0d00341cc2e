"""Scores with an MLflow model that has no scoring script: one ``predict()`` per file, as on Azure ML, or tables.

The host loads this file in the deployment's own interpreter, which has MLflow but none of our packages. Tables come
as DataFrames that the worker has read, with the rows of several files or of a part of one. Files come as paths:

    .csv .parquet .pqt                         -> pandas.DataFrame
    .png .jpg .jpeg .tiff .bmp .gif            -> numpy.ndarray, one image

Output of one file: ``row`` (position in the file), the model's output columns (``prediction`` where it has no
names), ``file``. The first and the last are set by the worker's side, which knows of which rows and file they are.
"""

from __future__ import annotations

import csv
import gc
import glob
import importlib.util
import json
import os
from typing import Any

import numpy as np
import pandas as pd

TABLES = (".csv", ".parquet", ".pqt")
IMAGES = (".png", ".jpg", ".jpeg", ".tiff", ".tif", ".bmp", ".gif")

MOST_NAMED = 50  # columns in a message
_NUMBERS = {"integer": "int32", "long": "int64", "float": "float32", "double": "float64"}  # by MLflow's names

_model: Any = None
_params: Any = None  # of predict(), where the deployment or the job has some


def _beside(name: str) -> Any:
    """A file beside this one; our package is not there to import it from."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"_host_{name}", place)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


_files, _framed = _beside("pandas_files"), _beside("mlflow_predictions").framed


def init() -> None:
    global _model, _params
    _params = json.loads(os.environ.pop("BATCH_ENDPOINTS_MLFLOW_PARAMS", "{}"))
    folder = _model_folder(os.environ["AZUREML_MODEL_DIR"])
    gc.disable()  # all that is made here stays: to look for garbage in it takes a tenth of the time
    try:
        import mlflow.pyfunc

        # MLflow reads the metadata of every package that is installed, to warn of those that do not suit the model
        suits = bool(os.environ.pop("BATCH_ENDPOINTS_SUITS_MODEL", ""))
        _model = mlflow.pyfunc.load_model(folder, suppress_warnings=suits)
    finally:
        gc.enable()
    gc.freeze()


class Prediction:
    """What came of a file, or of some rows.

    Args:
        frame: the predictions, with the index that the model has given them; None where there are none.
        error: the exception that the file or the rows have caused.
        data: what the model was given.
        read: how many rows were read of a file; None where it could not be read or is no table.
    """

    def __init__(
        self, frame: Any = None, error: Exception | None = None, data: Any = None, read: int | None = None
    ) -> None:
        self.frame, self.error, self.read = frame, error, read
        self._data = data

    def given(self, given: Any) -> Any:
        """What the model was given, as an object of the class ``Given`` of host_index.py."""
        data = self._data
        if not isinstance(data, pd.DataFrame):
            return given(self.read or 0)
        return given(
            len(data),
            index=data.index,
            column=lambda name: data[name] if list(data.columns).count(name) == 1 else None,
            again=lambda first: _framed(_predict(data.set_axis(range(first, first + len(data)), axis=0))).index,
        )


def run_items(paths: list[str]) -> list[Prediction]:
    """Score each file."""
    return [_outcome(path) for path in paths]


def run_table(frame: pd.DataFrame, columns: Any) -> Prediction:
    """Score rows, of which nobody here needs to know the files.

    Args:
        columns: returns the names of all columns of their file.
    """
    try:
        data = _typed(frame, _model.metadata.get_input_schema())
        return Prediction(_framed(_predict(data, columns)), data=data)
    except Exception as error:
        return Prediction(error=error)


def _typed(frame: pd.DataFrame, schema: Any) -> Any:
    """What was read, as the signature wants it: a value must not depend on the rows that are beside it."""
    if schema is None:
        return _converted(frame, {})
    if schema.is_tensor_spec():
        if _all_numbers([str(name) for name in frame.columns]):
            raise ValueError("the first line holds numbers, no header; give mini_batch_size as a number of files")
        spec, values = schema.inputs[0], _converted(frame, {}).to_numpy()
        return _tensor(values, spec.type).reshape((-1, *spec.shape[1:]))
    if schema.has_input_names():  # the other columns are there for the output
        frame = frame[[name for name in schema.input_names() if name in frame]]
    kinds = [getattr(kind, "name", "") for kind in schema.input_types()]  # an array or object has none
    return _converted(frame, dict(zip(schema.input_names(), kinds)))


def _converted(frame: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    """Text that is a date, and whole numbers that are to be others, converted.

    Args:
        kinds: MLflow's names of the columns' types.
    """
    changed = {}
    for name, dtype in frame.dtypes.items():
        kind = kinds.get(name, "")
        if kind == "datetime" and _is_text(frame[name]):
            changed[name] = _dates(name, frame[name])
        elif dtype.kind in "iu" and (kind in _NUMBERS or not (kind or isinstance(dtype, np.dtype))):
            changed[name] = _numbers(name, frame[name], kind)
    return frame.assign(**changed) if changed else frame


def _numbers(name: str, values: pd.Series, kind: str) -> pd.Series:
    """Whole numbers as others, if none of them changes.

    Args:
        kind: "" where nobody says: then one is missing in some row, and they are fractions, as pandas reads them, or
            stay what they are where a fraction would be another number.
    """
    missing = values.isna()
    unsaid = not kind
    if unsaid or (missing.any() and kind in ("integer", "long")):  # MLflow will say that these are no whole numbers
        kind = "double"
    wanted = np.dtype(_NUMBERS[kind])
    there = values[~missing].to_numpy(dtype=values.dtype.name.lower())
    with np.errstate(invalid="ignore"):  # what is too large to come back
        same = there.astype(wanted).astype(there.dtype) == there
    if not same.all():
        if unsaid:
            return values
        raise ValueError(f"column '{name}' holds {there[~same][0]}, which no {kind} can hold")
    if not missing.any():
        return values.astype(wanted)
    return pd.Series(values.to_numpy(dtype=wanted, na_value=np.nan), values.index)


def _predict(data: Any, columns: Any = None) -> Any:
    """
    Args:
        columns: as of ``run_table``; None where they are those of the data.
    """
    try:
        return _model.predict(data, params=_params) if _params else _model.predict(data)
    except Exception as error:
        told, _, why = str(error).rpartition("Error: ")
        of_schema = "Failed to enforce schema of data" in told  # and then all of the data, before what is wrong
        if "missing inputs" in why and isinstance(data, pd.DataFrame):
            raise type(error)(
                f"{why.rstrip('. ')}. {_columns_there(columns() if columns else data.columns)}"
            ) from None
        if of_schema:
            raise type(error)(why) from None
        raise


def _columns_there(columns: Any) -> str:
    """The columns that the input has, for somebody who misses others."""
    names = [str(name) for name in columns]
    if len(names) == 1:
        for separator, word in ((";", "';'"), ("\t", "a tab"), ("|", "'|'")):
            if separator in names[0]:
                return (
                    f"The input has one column, {names[0]!r}: is it {word} that separates its columns? Then give it "
                    f"as an MLTable with read_delimited and delimiter: {separator!r}"
                )
    listed = ", ".join(map(repr, names[:MOST_NAMED]))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (
        f"The input has the column{'s' * (len(names) != 1)} {listed}{more}" if names else "The input has no columns"
    )


def _is_text(values: pd.Series) -> bool:
    return values.dtype.kind in "OTU" or isinstance(values.dtype, pd.StringDtype)


def _dates(name: str, values: pd.Series) -> pd.Series:
    """Dates of ISO 8601, with an offset those of UTC: the form of any other pandas guesses by the first of them."""
    written = values.notna()
    old = int(pd.__version__.split(".")[0]) < 2  # has no name for the form, but tries it first where a year is first
    form: Any = {} if old else {"format": "ISO8601"}
    found = pd.to_datetime(values, utc=True, errors="coerce", **form).dt.tz_localize(None)
    bad = written & found.isna()
    if old:
        bad |= written & ~values.astype(str).str.match(r"\d{4}-?\d\d")
    if bad.any():
        value = values[bad].iloc[0]
        raise ValueError(f"column '{name}' holds '{value}', which is no date as ISO 8601 writes it: 2024-12-31T23:59")
    return found


def _outcome(path: str) -> Prediction:
    rows = None
    try:
        data = _read(path, _model.metadata.get_input_schema())
        rows = len(data) if _kind(path) in TABLES else None
        return Prediction(_framed(_predict(data, lambda: _columns_of(path))), data=data, read=rows)
    except Exception as error:
        return Prediction(error=error, read=rows)


def _columns_of(path: str) -> Any:
    return (pd.read_csv(path, nrows=0) if _kind(path) == ".csv" else pd.read_parquet(path)).columns


def _model_folder(parent: str) -> str:
    found = sorted(glob.glob(os.path.join(parent, "MLmodel")) + glob.glob(os.path.join(parent, "*", "MLmodel")))
    if not found:
        raise FileNotFoundError("the model's folder holds no MLflow model: there is no file MLmodel in it")
    return os.path.dirname(found[0])


def _kind(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _read(path: str, schema: Any) -> Any:
    kind = _kind(path)
    if kind == ".csv":
        return _read_csv(path, schema)
    if kind in TABLES:
        frame = _files.read_parquet(path)
        return frame if schema is not None and schema.is_tensor_spec() else _typed(frame, schema)
    if kind in IMAGES:
        return _read_image(path, schema)
    raise ValueError(
        f"File type '{kind}' is not supported without a scoring script; supported are {' '.join(TABLES + IMAGES)}"
    )


def _read_csv(path: str, schema: Any) -> Any:
    if schema is None:
        return _typed(_files.exact_csv(path), None)
    if schema.is_tensor_spec():
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = None if _all_numbers(next(csv.reader(file), [])) else 0
        data = pd.read_csv(path, header=header).to_numpy()
        spec = schema.inputs[0]
        return _tensor(data, spec.type).reshape((-1, *spec.shape[1:]))
    types = dict(zip(schema.input_names(), schema.pandas_types()))
    dates = [name for name, kind in types.items() if "datetime" in str(kind)]
    plain = {name: kind for name, kind in types.items() if name not in dates and str(kind) != "bytes"}
    plain.update(dict.fromkeys(dates, "str"))
    header = pd.read_csv(path, nrows=0).columns
    return _typed(_files.read_csv(path, dtype={n: k for n, k in plain.items() if n in header}), schema)


def _all_numbers(cells: Any) -> bool:
    """Is it a line of numbers, and no header? Some may be missing."""
    try:
        return bool([float(cell) for cell in cells if cell.strip()])
    except ValueError:
        return False


def _tensor(values: Any, dtype: Any) -> Any:
    """Numbers as the signature has them. Raises ValueError where one is no such whole number."""
    with np.errstate(invalid="ignore"):
        made = values.astype(dtype)
        same = made == values if np.dtype(dtype).kind in "iub" and values.dtype != object else np.array(True)
    if not same.all():
        raise ValueError(f"it holds {values[~same][0]}, which no {np.dtype(dtype)} can hold")
    return made


def _read_image(path: str, schema: Any) -> Any:
    from PIL import Image

    if schema is not None and not schema.is_tensor_spec():
        names, kinds = schema.input_names(), [str(kind) for kind in schema.input_types()]
        if len(kinds) == 1 and "binary" in kinds[0].lower():
            with open(path, "rb") as file:
                return pd.DataFrame({names[0]: [file.read()]})
        raise TypeError(f"the model's signature asks for columns {names}; an image has none")
    with Image.open(path) as image:
        pixels = np.array(image)
    if schema is None:
        return np.expand_dims(pixels.astype(np.uint8), 0)
    spec = schema.inputs[0]
    if tuple(spec.shape) == (-1,):
        one = np.empty(1, dtype=object)
        one[0] = pixels
        return one
    return pixels.astype(spec.type).reshape(spec.shape)
