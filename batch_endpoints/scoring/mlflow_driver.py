"""Scores with an MLflow model that has no scoring script: one ``predict()`` per file, as on Azure ML, or tables.

The host loads this file in the deployment's own interpreter, which has MLflow but none of our packages. Tables come
as DataFrames that the worker has read, with the rows of several files or of a part of one. Files come as paths:

    .csv .parquet .pqt                         -> pandas.DataFrame
    .png .jpg .jpeg .tiff .bmp .gif            -> numpy.ndarray, one image

Output of one file: ``row`` (position in the file), the model's output columns (``prediction`` where they have no
names), ``file`` (set by the worker's side, which knows its name below the input).
"""

from __future__ import annotations

import gc
import glob
import importlib.util
import os
from typing import Any

import numpy as np
import pandas as pd

TABLES = (".csv", ".parquet", ".pqt")
IMAGES = (".png", ".jpg", ".jpeg", ".tiff", ".tif", ".bmp", ".gif")

_NUMBERS = {"integer": "int32", "long": "int64", "float": "float32", "double": "float64"}  # by MLflow's names

_model: Any = None


def _beside(name: str) -> Any:
    """A file beside this one; our package is not there to import it from."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"_host_{name}", place)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


_files = _beside("pandas_files")


def init() -> None:
    global _model
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


def run_items(paths: list[str]) -> list[tuple[Any, int | None]]:
    """Score each file.

    Returns: for each path a DataFrame with a column ``row``, or the exception that its file caused; and how many rows
        were read of it, None where it could not be read or is no table.
    """
    return [_outcome(path) for path in paths]


def run_table(frame: pd.DataFrame) -> Any:
    """Score rows, of which nobody here needs to know the files.

    Returns: a DataFrame of the predictions, or the exception that the rows caused.
    """
    try:
        return _framed(_predict(_typed(frame, _model.metadata.get_input_schema())))
    except Exception as error:
        return error


def _typed(frame: pd.DataFrame, schema: Any) -> Any:
    """What was read, as the signature wants it: a value must not depend on the rows that are beside it."""
    if schema is None:
        return _converted(frame, {})
    if schema.is_tensor_spec():
        if _all_numbers(",".join(map(str, frame.columns))):
            raise ValueError("the first line holds numbers, no header; give mini_batch_size as a number of files")
        spec, values = schema.inputs[0], _converted(frame, {}).to_numpy()
        exact = "unsafe" if values.dtype == object else "same_kind"  # a fraction must not become a whole number
        return values.astype(spec.type, casting=exact).reshape((-1, *spec.shape[1:]))
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


def _predict(data: Any) -> Any:
    try:
        return _model.predict(data)
    except Exception as error:
        told, _, why = str(error).rpartition("Error: ")
        if "Failed to enforce schema of data" in told:  # and then all of the data, before MLflow says what is wrong
            raise type(error)(why) from None
        raise


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


def _outcome(path: str) -> tuple[Any, int | None]:
    rows = None
    try:
        data = _read(path, _model.metadata.get_input_schema())
        rows = len(data) if _kind(path) in TABLES else None
        return _with_rows(_framed(_predict(data))), rows
    except Exception as error:
        return error, rows


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
        with open(path, encoding="utf-8") as file:
            header = None if _all_numbers(file.readline()) else 0
        data = pd.read_csv(path, header=header).to_numpy()
        spec = schema.inputs[0]
        return data.astype(spec.type).reshape((-1, *spec.shape[1:]))
    types = dict(zip(schema.input_names(), schema.pandas_types()))
    dates = [name for name, kind in types.items() if "datetime" in str(kind)]
    plain = {name: kind for name, kind in types.items() if name not in dates and str(kind) != "bytes"}
    plain.update(dict.fromkeys(dates, "str"))
    header = pd.read_csv(path, nrows=0).columns
    return _typed(_files.read_csv(path, dtype={n: k for n, k in plain.items() if n in header}), schema)


def _all_numbers(line: str) -> bool:
    try:
        return bool([float(cell) for cell in line.strip().split(",")])
    except ValueError:
        return False


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


def _framed(result: Any) -> pd.DataFrame:
    """Predictions as a table."""
    if isinstance(result, pd.DataFrame):
        frame = result.reset_index(drop=True)
        if list(frame.columns) == list(range(len(frame.columns))):
            frame.columns = _names(len(frame.columns))
    elif isinstance(result, pd.Series):
        frame = pd.DataFrame({result.name or "prediction": result.reset_index(drop=True)})
    elif isinstance(result, dict):
        frame = pd.DataFrame({name: list(_rows(values)) for name, values in result.items()})
    elif isinstance(result, (list, tuple)) and result and all(isinstance(one, dict) for one in result):
        frame = pd.DataFrame(list(result))
    else:
        values = _array(result)
        if values.ndim == 2:
            frame = pd.DataFrame(values, columns=_names(values.shape[1]))
        elif values.ndim == 1:
            frame = pd.DataFrame({"prediction": values})
        else:
            frame = pd.DataFrame({"prediction": [value.tolist() for value in np.atleast_1d(values)]})
    return frame


def _with_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with ``row`` as its first column."""
    name = "row" if "row" not in frame.columns else "_row"
    frame.insert(0, name, np.arange(len(frame), dtype=np.int64))
    return frame


def _rows(values: Any) -> Any:
    """One value for each row; a single value is one row."""
    return values if isinstance(values, (list, tuple, np.ndarray, pd.Series)) else [values]


def _array(result: Any) -> Any:
    if result is None:
        raise TypeError("the model's predict() returned None")
    try:
        return np.asarray(result)
    except ValueError:  # lists of different lengths
        values = np.empty(len(result), dtype=object)
        values[:] = result
        return values


def _names(count: int) -> list[str]:
    return ["prediction"] if count == 1 else [f"prediction_{index}" for index in range(count)]
