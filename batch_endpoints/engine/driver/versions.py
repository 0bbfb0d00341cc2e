"""Versions of what a job runs on: for its report, and for whoever wonders later why results differ."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from batch_endpoints.planning.variables import for_user_code

_ASK_SECONDS = 20.0
_ASK = """
import platform, sys
from importlib.metadata import PackageNotFoundError, version
print(platform.python_version())
for name in sys.argv[1:]:
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass
"""


def driver_versions() -> dict[str, str]:
    """Of this process."""
    return {"python": platform.python_version(), **_installed(("batch-endpoints", "ray"))}


def host_versions(interpreter: str, packages: Sequence[str]) -> dict[str, str]:
    """Of the interpreter that runs the user's code.

    Args:
        interpreter: path of its Python.
        packages: whose versions are of interest; those that are not there are left out.

    Returns: ``host_python`` and the packages by name; nothing where it does not say, which its workers will tell.
    """
    if interpreter == sys.executable:
        return {"host_python": platform.python_version(), **_installed(packages)}
    # as the workers start it: what is installed there may run code of its own
    environment = {**for_user_code(os.environ), "HOME": tempfile.gettempdir()}
    try:
        told = subprocess.run(
            [interpreter, "-c", _ASK, *packages],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=True,
            env=environment,
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {}
    python, *found = told or [""]
    return {"host_python": python, **dict(line.split(" ", 1) for line in found)}


def _installed(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name.replace("-", "_")] = version(name)
        except PackageNotFoundError:
            continue
    return found
