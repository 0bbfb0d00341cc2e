"""The columns that a file has, for somebody who misses others; scoring/mlflow_driver.py has the same for itself."""

from __future__ import annotations

from collections.abc import Sequence

_SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'"}
_MOST_NAMED = 50


def columns_there(names: Sequence[str]) -> str:
    """A sentence that lists them, and asks what separates them where one looks like several."""
    for separator, word in _SEPARATORS.items() if len(names) == 1 else ():
        if separator in names[0]:
            return (
                f"it has one column, {names[0]!r}: is it {word} that separates its columns? Then give it as an "
                f"MLTable with read_delimited and delimiter: {separator!r}"
            )
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"it has {', '.join(map(repr, names[:_MOST_NAMED]))}{more}"
