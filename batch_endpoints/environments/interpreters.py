"""Which interpreter runs a deployment's code: the server's, one that is named, or one built for it here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from batch_endpoints.environments.build import build_environment, find_conda, list_pythons
from batch_endpoints.environments.cache import Built, EnvironmentCache, Lease
from batch_endpoints.environments.conda import to_pypi
from batch_endpoints.environments.plan import EnvironmentPlan, plan_environment, plan_recorded, states_interpreter
from batch_endpoints.environments.pythons import Python, choose_python, fits, fits_but_for_patch, in_words
from batch_endpoints.environments.requirements import Installed, first_unmet
from batch_endpoints.errors import EnvironmentFailed, SpecError
from batch_endpoints.specs import Environment

_FOLDER = "environments"


@dataclass(frozen=True)
class Interpreter:
    """A Python, and what a user should know of the choice.

    Args:
        built: what is known of one that was built; None for others.
        is_new: did this call build it?
        lease: keeps one that was built from being removed while this object lives.
        variables: environment variables that the environment has for what runs in it.
    """

    path: str
    notes: tuple[str, ...] = ()
    built: Built | None = None
    is_new: bool = False
    lease: Lease | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """Let go of it: nobody uses it any more."""
        if self.lease:
            self.lease.close()


def find_interpreter(
    environment: Environment | None, cache: Path, recorded: Mapping[str, str] | None = None
) -> Interpreter:
    """The interpreter for a deployment; building it may take minutes, once on each machine.

    Args:
        environment: what the deployment states; None where it states nothing.
        cache: folder of what is built on this machine.
        recorded: text of the files that MLflow recorded with the model, used where no interpreter is stated.

    Raises:
        SpecError: the environment asks for something that no node can give.
        EnvironmentFailed: it cannot be built here.
    """
    found = _found(environment or Environment(), cache, recorded or {})
    EnvironmentCache(cache / _FOLDER).remove_unused_daily(time.time())
    return found


def _found(environment: Environment, cache: Path, recorded: Mapping[str, str]) -> Interpreter:
    has_conda = bool(find_conda())
    plan = None if states_interpreter(environment) else plan_recorded(recorded, has_conda=has_conda)
    stated = plan_environment(environment, has_conda=has_conda, has_recorded=plan is not None)
    if plan is None:
        return _made(stated, cache)
    why = _unmet_here(plan)
    if not why:
        return Interpreter(sys.executable, stated.notes, variables=plan.variables)
    note = f"the model was recorded with {why}: an interpreter is built from what is recorded"
    return _made(replace(plan, notes=(*stated.notes, note, *plan.notes)), cache)


def _made(plan: EnvironmentPlan, cache: Path) -> Interpreter:
    if plan.interpreter and not os.access(plan.interpreter, os.X_OK):
        raise SpecError(
            f"the environment's python '{plan.interpreter}' is not a program on this machine",
            mend="Name an interpreter that every node has.",
        )
    if not plan.is_built:
        return Interpreter(plan.interpreter or sys.executable, plan.notes, variables=plan.variables)
    python, note = _base(plan)
    key = plan.key(f"{python.version} {python.path}")
    try:
        built, lease, is_new = EnvironmentCache(cache / _FOLDER).get(
            key, lambda place, lock: build_environment(plan, python, place, lock)
        )
    except OSError as error:
        raise EnvironmentFailed(
            f"the environment could not be built in '{cache}': {error.strerror or error}",
            mend="Set BATCH_ENDPOINTS_CACHE to a folder of a local disk that has room and can be written.",
        ) from error
    notes = (*plan.notes, *([note] if note else []), *built.notes)
    return Interpreter(built.python, notes, built, is_new, lease, plan.variables)


def _base(plan: EnvironmentPlan) -> tuple[Python, str]:
    """The Python that an environment is built on, and a note where it is not the one asked for."""
    own = Python(platform.python_version(), os.path.realpath(sys.executable))
    if plan.interpreter:
        return Python("", plan.interpreter), ""
    if plan.conda or fits(plan.python, own.version):
        return own, ""
    return choose_python(plan.python, list_pythons())


def _unmet_here(plan: EnvironmentPlan) -> str:
    """What this process's interpreter lacks of a recorded environment, in words; "" where it lacks nothing.

    Build dependencies do not count: MLflow records some with every model, and few need them when they run.
    """
    if not fits_but_for_patch(plan.python, platform.python_version()):
        return f"Python {in_words(plan.python)}, where the server has {platform.python_version()}"
    lines = list(plan.requirements)
    for package in plan.conda:
        try:
            lines += to_pypi([package])[0]
        except SpecError:
            return f"the conda package '{package}', which conda has to install"
    return first_unmet(lines, _installed)


def _installed(name: str) -> Installed | None:
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Installed(found.version, tuple(found.requires or ()))
