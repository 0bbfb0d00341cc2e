"""Which Python an environment is built on: the one it asks for, or the nearest newer one that the machine has."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from batch_endpoints.errors import EnvironmentFailed

_OLDEST = (3, 8)  # scoring/host.py is written for it


@dataclass(frozen=True)
class Python:
    """An interpreter of this machine."""

    version: str
    path: str


def fits(asked: str, version: str) -> bool:
    """Is this version what the specifier asks for?"""
    return SpecifierSet(asked).contains(version, prereleases=True)


def fits_but_for_patch(asked: str, version: str) -> bool:
    """Does this version fit, or differ from the one asked for in its patch level alone?"""
    pinned = [Version(one.version.removesuffix(".*")) for one in SpecifierSet(asked) if one.operator == "=="]
    return fits(asked, version) or any(pin.release[:2] == Version(version).release[:2] for pin in pinned)


def in_words(asked: str) -> str:
    """``==3.8.*`` -> ``3.8``, for people."""
    return asked.removeprefix("==").removesuffix(".*")


def choose_python(asked: str, pythons: Sequence[Python]) -> tuple[Python, str]:
    """The Python for an environment: the newest that fits, otherwise the nearest newer one.

    An older patch level of the version asked for goes before a newer version: packages have wheels for it.

    Args:
        asked: PEP 440 specifier.
        pythons: what this machine has.

    Returns: the Python, and a note where it is not what was asked for ("" otherwise).

    Raises:
        EnvironmentFailed: there is neither the version asked for nor a newer one.
    """
    usable = {python: version for python in pythons if (version := _release(python.version))}
    lowest = _lowest(asked)
    fitting = [python for python in usable if fits(asked, python.version)]
    if fitting:
        return max(fitting, key=lambda python: usable[python]), ""
    near = [python for python in usable if fits_but_for_patch(asked, python.version)]
    newer = [p for p, version in usable.items() if lowest and lowest < version < Version(f"{lowest.major + 1}")]
    if not near and newer:
        minor = min(usable[python].release[:2] for python in newer)
        near = [python for python in newer if usable[python].release[:2] == minor]
    if not near:
        known = ", ".join(map(str, sorted(set(usable.values()))))
        raise EnvironmentFailed(
            f"Python {in_words(asked)} is not on this machine, nor a newer one",
            mend=f"It has {known or 'none'}. Install that Python (with uv or pyenv), or ask for another one.",
        )
    nearest = max(near, key=lambda python: usable[python])
    kind = "newer " if lowest and lowest < usable[nearest] else ""
    note = f"Python {in_words(asked)} is not on this machine: {nearest.version}, the nearest {kind}one, is used"
    return nearest, note


def search_path(environment: Mapping[str, str], home: Path) -> str:
    """A PATH on which uv finds pyenv's interpreters too.

    pyenv's shims answer for the one version that is switched on and fail for all others, so the folders of the
    versions themselves take their place.
    """
    root = Path(environment.get("PYENV_ROOT") or home / ".pyenv")
    folders = [
        f for f in environment.get("PATH", os.defpath).split(os.pathsep) if not f.rstrip("/").endswith("/shims")
    ]
    versions = root / "versions"
    found = sorted(versions.glob("3.*/bin")) if versions.is_dir() else []
    return os.pathsep.join([*folders, *map(str, found)])


def read_pythons(listed: str) -> Sequence[Python]:
    """What ``uv python list --output-format json`` says, without other implementations and free-threaded builds."""
    found: list[dict[str, Any]] = json.loads(listed)
    return [
        Python(one["version"], one["path"])
        for one in found
        if one.get("path") and one.get("implementation") == "cpython" and one.get("variant", "default") == "default"
    ]


def _lowest(asked: str) -> Version | None:
    bounds = [
        Version(one.version.removesuffix(".*"))
        for one in SpecifierSet(asked)
        if one.operator in ("==", "~=", ">=", ">")
    ]
    return max(bounds, default=None)


def _release(text: str) -> Version | None:
    """The version, None for one that is not released yet, is too old for the host process, or has no number."""
    try:
        version = Version(text)
    except InvalidVersion:
        return None
    return None if version.is_prerelease or version.release < _OLDEST else version
