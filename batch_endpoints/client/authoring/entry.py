"""Where a step finds a function again: the folder that is its code, and its module in there."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_endpoints.client.authoring.ports import place_of
from batch_endpoints.errors import SpecError


@dataclass(frozen=True)
class Entry:
    """Args:
    folder: the code.
    file: the module's, below it.
    module: as a step imports it.
    """

    folder: Path
    file: Path
    module: str


def entry_of(function: Callable[..., Any], code: str | Path = "") -> Entry:
    """The entry of a function.

    Args:
        code: the folder that a step gets, relative to the function's file; "" is the folder of its module, or of
            its package where it is in one.

    Raises:
        SpecError: a step could not import it.
    """
    file = Path(function.__code__.co_filename).absolute()
    if not file.is_file():
        raise _error(function, "is in no file", "Put it into a module: a step imports it from there.")
    if function.__qualname__ != function.__name__ or function.__name__ == "<lambda>":
        raise _error(function, "is inside of something else", "Move it to the top of its module.")
    if code:
        folder = (file.parent / Path(code).expanduser()).resolve()
        if not file.resolve().is_relative_to(folder):
            raise _error(function, f"is not in the folder '{folder}', which its code is to be", "Change code=…")
    else:
        folder = _root(function, file)
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")}
    if folder.resolve() in installed:
        mend = "Define the component in a file of the project, which may call this function."
        raise _error(function, f"is among the installed packages, in '{folder}'", mend)
    within = (file.resolve() if code else file).relative_to(folder)
    parts = within.with_suffix("").parts
    return Entry(folder, within, ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts))


def _root(function: Callable[..., Any], file: Path) -> Path:
    """The folder in which a module, or the outermost package round it, is found."""
    name = function.__module__ or ""
    if name == "__main__":
        name = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", "")
    parts = name.split(".")
    path = file.parent if file.stem == "__init__" else file.with_suffix("")
    if path.parts[-len(parts) :] != tuple(parts):  # loaded by its file alone
        return file.parent
    return Path(*path.parts[: -len(parts)])


def _error(function: Callable[..., Any], what: str, mend: str) -> SpecError:
    return SpecError(f"function '{function.__name__}' {what}", where=place_of(function), mend=mend)
