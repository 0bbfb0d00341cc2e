"""Which interpreter runs a deployment's code."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from batch_endpoints.errors import SpecError
from batch_endpoints.specs import Environment


@dataclass(frozen=True)
class Interpreter:
    """A Python, and what a user should know of the choice."""

    path: str
    notes: tuple[str, ...] = ()


def find_interpreter(environment: Environment | None) -> Interpreter:
    """The interpreter an environment names, otherwise the server's own.

    Raises:
        SpecError: ``python`` names something that is no program.
    """
    if environment is None:
        return Interpreter(sys.executable)
    if environment.python:
        if not os.access(environment.python, os.X_OK):
            raise SpecError(
                f"the environment's python '{environment.python}' is not a program on this machine",
                mend="Name an interpreter that every node has.",
            )
        return Interpreter(environment.python)
    asked = [
        name
        for name, value in (
            ("image", environment.image),
            ("conda_file", environment.conda_file),
            ("requirements", environment.requirements),
            ("build", environment.build),
        )
        if value
    ]
    if not asked:
        return Interpreter(sys.executable)
    what = f"environment '{environment.name}'" if environment.name else "the environment"
    return Interpreter(
        sys.executable,
        (f"{what} has {' and '.join(asked)}, not built by this version: the server's interpreter is used",),
    )
