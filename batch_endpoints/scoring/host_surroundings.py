"""What a script finds around it: its siblings, Azure ML's names, loggers that are heard; its children find it too.

Loaded by host.py, under the same rules: standard library only, Python 3.8's syntax.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

FOR_SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "for_scripts")
_NO_WORKSPACE = (
    "; there is no workspace of Azure ML here, and azureml.core is not needed: the model is in the folder "
    'os.environ["AZUREML_MODEL_DIR"] (instead of Model.get_model_path), files go to '
    'os.environ["AZUREML_BI_OUTPUT_PATH"], and print and logging go to the log (instead of Run)'
)


def set_up(code: Sequence[str], log_level: str) -> None:
    """Let the script, and every Python that it starts, find what it may import.

    Args:
        code: folders of its own modules. Here they come first; in its children last: not each is a script of the
            deployment's.
    """
    customize: Any = importlib.util.spec_from_file_location("_set_up", os.path.join(FOR_SCRIPTS, "sitecustomize.py"))
    module = importlib.util.module_from_spec(customize)
    customize.loader.exec_module(module)
    own = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    os.environ["PYTHONPATH"] = os.pathsep.join([FOR_SCRIPTS, *own])
    os.environ[module.CODE], os.environ[module.LEVEL] = os.pathsep.join(code), log_level.upper()
    sys.path[:0] = code
    module.set_up()


def instead(error: BaseException) -> str:
    """What a script can use instead of what it has asked Azure ML's first SDK for; "" for any other error."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    asked = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    is_azures = (missing or "").split(".")[0] == "azureml" or (
        "get_model_path" in asked and any(name.split(".")[0] == "azureml" for name in sys.modules)
    )
    return _NO_WORKSPACE if is_azures else ""
