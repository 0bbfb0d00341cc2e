"""Azure ML's layout of the output, on the worker's side: rows that are text before they are stored.

A scoring script's rows become text in the host, where its values are what they were (``host_azure_layout.py``); those
of a model without one here, where their file is known.
"""

from __future__ import annotations

import pyarrow as pa


def as_text(table: pa.Table, text: str | None) -> pa.Table:
    """The text of some rows, as a table of as many rows.

    Args:
        table: the rows; of a model without a script with ``row`` first and ``file`` last.
        text: what the host has made of them; None where they are of a model without a script.

    Returns: table with one column text: large_string, whose values, one after the other, are the text. The first
        one has all of it: where a line ends and where a row does are two things.
    """
    pieces = [_predictions(table) if text is None else text] + [None] * (table.num_rows - 1)
    return pa.table({"text": pa.array(pieces[: table.num_rows], pa.large_string())})


def _predictions(table: pa.Table) -> str:
    """``row,prediction…,file``, as Azure ML's driver for MLflow models writes it.

    Source: the published ``score_batch.py`` (azureml-examples, ``system/inference``) with ``sep=","`` and
    ``index=True``; its index is the position in the file.
    """
    import pandas as pd

    columns = {
        at: pd.Series(column.to_pylist(), dtype=object)  # lists, not arrays: their text differs
        if pa.types.is_nested(column.type)
        else column.to_pandas(integer_object_nulls=True)
        for at, column in enumerate(table.columns)
    }
    return str(pd.DataFrame(columns).to_csv(sep=",", header=False, index=False))
