"""Tables that a model without a script reads itself, with pandas: where that shifts or rounds values, as they are.

Loaded by mlflow_driver.py, under the same rules: it runs in the deployment's interpreter.
"""

from __future__ import annotations

import contextlib
import csv
from typing import Any

import numpy as np
import pandas as pd


def read_csv(path: str, **reading: Any) -> Any:
    """A table whose lines may end with separators that its header lacks.

    pandas would take the first value of each for the name of the row, and shift the others.
    """
    frame = pd.read_csv(path, **reading)
    names = list(frame.columns)
    if len(names) > 1 and names[-1] == f"Unnamed: {len(names) - 1}" and frame.iloc[:, -1].isna().all():
        frame = frame.iloc[:, :-1]  # the header ends with one, too
    behind = next(_fields_behind(path), 0)
    if behind < 1:
        return frame
    more = set(_fields_behind(path))
    if _any_text_behind(path, len(names)):
        if behind > 1 or more != {1}:
            raise ValueError(
                f"the header has {len(names)} names, and lines have up to {len(names) + max(more)} fields"
            )
        return frame  # with names of rows, as R writes them
    every = names + [f"{number} behind" for number in range(behind)]
    return pd.read_csv(path, header=0, names=every, usecols=names, index_col=False, **reading)


def exact_csv(path: str) -> Any:
    """The table, with Int64 where pandas rounds whole numbers because others of their column are missing."""
    frame = read_csv(path)
    rounded = _maybe_rounded(frame)
    texts = read_csv(path, dtype=str) if rounded else frame
    changed = {}
    for name in rounded:
        there = texts[name].dropna()
        if there.str.fullmatch(r"\s*-?\d+\s*").all() and there.map(int).between(-(1 << 63), (1 << 63) - 1).all():
            changed[name] = pd.Series(pd.NA, index=texts.index, dtype="Int64")
            changed[name][texts[name].notna()] = pd.array([int(text) for text in there], dtype="Int64")
    return frame.assign(**changed) if changed else frame


def read_parquet(path: str) -> Any:
    """The table, with whole numbers as Int64 and the like where some are missing."""
    frame = pd.read_parquet(path)
    rounded = _maybe_rounded(frame)
    if rounded:
        exact = pd.read_parquet(path, columns=rounded, dtype_backend="numpy_nullable")
        whole = [name for name in rounded if exact[name].dtype.kind in "iu"]
        frame = frame.assign(**{name: exact[name] for name in whole})
    return frame


def _fields_behind(path: str) -> Any:
    """How many fields more than the header each line has; pandas takes as many of all for names of rows as the first
    one has more."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = (fields for fields in csv.reader(file) if fields)
        with contextlib.suppress(csv.Error):  # a field too long for this reader
            header = next(lines, [])
            for fields in lines:
                yield len(fields) - len(header)


def _any_text_behind(path: str, place: int) -> bool:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return any(any(fields[place:]) for fields in csv.reader(file))


def _maybe_rounded(frame: Any) -> Any:
    """The columns in which a double may stand for a whole number that no double holds."""
    return [name for name, values in frame.items() if values.dtype == np.float64 and (values.abs() >= 1 << 53).any()]
