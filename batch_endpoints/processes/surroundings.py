"""What a user's process finds around it: a copy of its code, and variables of this process that are no secrets."""

from __future__ import annotations

import os
import shutil
import site
import sys
from collections.abc import Collection
from pathlib import Path

from batch_endpoints.planning.variables import for_user_code

FOR_STEPS = Path(__file__).with_name("for_steps")
"""Folder with the module that runs a function which is a component, in any interpreter."""


def copy_code(code: Path, target: Path) -> None:
    """Copy a folder of code, which may write beside itself: what is registered stays as it is."""
    shutil.copytree(code, target, copy_function=_copy_if_there)


def inherited_variables(interpreter: str, secret_variables: Collection[str] = ()) -> dict[str, str]:
    """What it gets of this process's environment.

    Args:
        interpreter: path of its Python.
        secret_variables: what it does not get in any case: stores are entered with it.
    """
    own = {k: v for k, v in for_user_code(os.environ).items() if k not in secret_variables}
    if interpreter == sys.executable and site.ENABLE_USER_SITE:
        own["PYTHONUSERBASE"] = site.getuserbase()  # what is installed there is not found by another HOME
    return own


def _copy_if_there(source: str, target: str) -> None:
    """For ``copytree``, which asks of a relative link whether it leads somewhere from the working directory."""
    if os.path.isfile(source):
        shutil.copy2(source, target)
