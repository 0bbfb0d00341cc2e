"""Runs a function that is a component: ``python -m batch_endpoints_step MODULE:FUNCTION NAME:TYPE=VALUE …``.

This folder is on PYTHONPATH in a command step, whose interpreter may have no package of ours; the host process of a
parallel step loads this file too. Standard library only, Python 3.8's syntax.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pathlib
import sys
import types
import typing
from typing import Any

_READ: dict[str, Any] = {
    "path": pathlib.Path,
    "string": str,
    "integer": int,
    "number": float,
    "boolean": lambda text: text.lower() == "true",
}


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    prepare_imports()
    getattr(importlib.import_module(module), name)(**values(sys.argv[2:]))


def values(words: Any) -> dict[str, Any]:
    """The arguments in words such as ``limit:integer=5``; other words are left out."""
    found: dict[str, Any] = {}
    for word in words:
        declared, equals, text = word.partition("=")
        name, _, kind = declared.partition(":")
        if equals and kind in _READ:
            found[name] = _READ[kind](text)
    return found


def prepare_imports() -> None:
    """Let modules import ``batch_endpoints``: in a step its decorators leave functions as they are.

    So a module with components runs in any interpreter, and fast. Where the package is installed, its other names
    are the real ones.
    """
    try:
        package: Any = importlib.import_module("batch_endpoints")
    except ImportError:
        package = types.ModuleType("batch_endpoints")
        package.__getattr__ = _not_installed
        sys.modules["batch_endpoints"] = package
    package.command_component = _decorator(lambda function: function)
    package.parallel_component = _decorator(_of_mini_batches)
    package.pipeline = _decorator(lambda function: _Absent(f"the pipeline '{function.__name__}'", _GUARD))
    package.load_component = lambda *given, **named: _Absent("a component that is loaded", _GUARD)
    package.Input = package.Output = _Declaration


_GUARD = "Put what uses it below: if __name__ == '__main__':"


class _Declaration:
    """An input or output in an annotation, which no function looks at."""

    def __init__(self, *given: Any, **named: Any) -> None:
        pass


class _Absent:
    """May be imported or defined, and not used."""

    def __init__(self, what: str, mend: str) -> None:
        self._message = f"{what} cannot be used while a step imports its module. {mend}"

    def __call__(self, *given: Any, **named: Any) -> Any:
        raise RuntimeError(self._message)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(self._message)


def _not_installed(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Absent(f"batch_endpoints.{name}", "The step's environment has no batch_endpoints; add it there.")


def _decorator(change: Any) -> Any:
    def decorate(function: Any = None, **settings: Any) -> Any:
        return change if function is None else change(function)

    return decorate


def _of_mini_batches(function: Any) -> Any:
    """``run(mini_batch)``, or also its context: the other parameters get the values in the script's arguments."""
    parameters = list(inspect.signature(function).parameters.values())
    given = [one for at, one in enumerate(parameters) if at == 0 or one.name == "mini_batch_context"]

    @functools.wraps(function)
    def run(*mini_batch: Any) -> Any:
        named = dict(zip((one.name for one in given), mini_batch))  # noqa: B905 - not in Python 3.8
        return function(**{**values(sys.argv[1:]), **named})

    try:
        kinds = typing.get_type_hints(function)
    except Exception:  # a name that only a type checker knows
        kinds = {}
    shown = [one.replace(annotation=kinds.get(one.name, one.annotation)) for one in given]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return run


if __name__ == "__main__":
    main()
