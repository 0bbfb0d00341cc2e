"""The Pythons of this machine, for tests of interpreters."""

import subprocess
from functools import cache

import pytest

from batch_endpoints.environments.build import list_pythons


@cache
def minors():
    return {tuple(map(int, python.version.split(".")[:2])) for python in list_pythons() if python.version[0] == "3"}


def needs(*minor):
    return pytest.mark.skipif(minor not in minors(), reason=f"no Python {'.'.join(map(str, minor))} on this machine")


def ask(interpreter, expression, modules="sys"):
    code = f"import {modules}; print({expression})"
    return subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
