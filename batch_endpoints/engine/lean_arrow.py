"""Keeps pyarrow from importing pandas for nothing.

The first ``pyarrow.array`` of a process imports pandas, only to ask whether its argument is a Series: a quarter of a
second and 45 MB for each driver and worker, which hand no table to pandas.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


def leave_out_pandas() -> None:
    """Let pyarrow's question go unanswered, once; it does not ask again.

    For processes that are ours alone, before their first array. ``to_pandas`` works all the same: it imports pandas
    when it is called.
    """
    if "pandas" in sys.modules:
        return
    finder = _NotNow()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


class _NotNow(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ImportError("not needed here")
