"""Azure ML's layout of what ``run()`` returns, in the host process: only there are its values what they were.

Loaded by host.py, under the same rules: standard library only, and pandas only where the script has it; Python 3.8's
syntax.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

SETTINGS_FILE = "parallel_run_step.settings.json"
_EXPECTED = '{"append_row": {"pandas.DataFrame.to_csv": {…}}}'


class AzureLayout:
    """A data frame is what ``to_csv`` makes of it; of anything else each element is a line.

    Args:
        folder: of the scoring script. A settings file beside it may say more arguments of ``to_csv``.

    Raises:
        ValueError: the settings file says something else.
    """

    def __init__(self, folder: str) -> None:
        self._to_csv = {"sep": " ", "header": False, "index": False, **_settings(os.path.join(folder, SETTINGS_FILE))}

    def text(self, result: Any) -> str:
        """The text of one mini-batch."""
        pyarrow = sys.modules.get("pyarrow")
        if pyarrow is not None and isinstance(result, pyarrow.Table):
            result = result.to_pandas()
        if _is_frame(result):
            text = result.to_csv(**self._to_csv)
        else:
            elements = [result] if getattr(result, "shape", None) == () else result  # a lone number of numpy
            with _whole():
                text = "".join([str(element) + "\n" for element in elements])
        return str(text).encode("utf-8", "backslashreplace").decode("utf-8")

    def numbered(self, result: Any) -> Any:
        """A data frame with numbers for names: in a layout without names, two columns may have the same one."""
        return result.set_axis(range(result.shape[1]), axis="columns") if _is_frame(result) else result


@contextlib.contextmanager
def _whole() -> Any:
    """Where ``str()`` leaves nothing out of long arrays and tables, for which it writes dots otherwise."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    with contextlib.ExitStack() as stack:
        if numpy is not None:
            stack.enter_context(numpy.printoptions(threshold=sys.maxsize))
        if pandas is not None:
            most = ("display.max_rows", "display.max_columns", "display.max_colwidth", "display.max_seq_items")
            stack.enter_context(pandas.option_context(*(one for name in most for one in (name, None))))
        yield


def _is_frame(result: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(result, pandas.DataFrame)


def _settings(file: str) -> Any:
    try:
        with open(file, encoding="utf-8") as source:
            options = json.load(source)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{SETTINGS_FILE} is not valid JSON: {error}") from None
    for key in ("append_row", "pandas.DataFrame.to_csv"):
        options = options.get(key, {}) if isinstance(options, dict) else None
    if not isinstance(options, dict):
        raise ValueError(f"{SETTINGS_FILE} is not {_EXPECTED}")
    return options
