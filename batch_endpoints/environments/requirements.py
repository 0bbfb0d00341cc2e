"""Lines of pip's requirements files: what they ask for, and whether it is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from batch_endpoints.errors import SpecError

_INCLUDES = re.compile(r"(?:(?P<r>-r|--requirement)|(?P<c>-c|--constraint))(?:\s+|=)(?P<file>.+)")
_LOCAL = re.compile(r"(-e|--editable)\b|\.{1,2}(/|$)|(?![a-z+]+://)\S+\.(whl|zip|tar\.gz)$", re.IGNORECASE)


@dataclass(frozen=True)
class Lines:
    """Requirements and constraints, with what they include in place of the inclusion."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installed:
    """A distribution that an interpreter has, and what it needs itself (``Requires-Dist``)."""

    version: str
    requires: tuple[str, ...] = field(default=())


def read_lines(lines: Iterable[str], files: Mapping[str, str], where: str) -> Lines:
    """Lines that uv can be given on any node.

    Args:
        lines: of a requirements file; comments, blank and continued lines may be among them.
        files: text of the files that ``-r`` and ``-c`` may name.
        where: what is being read, for errors.

    Raises:
        SpecError: a line names a file that no node has.
    """
    requirements: list[str] = []
    constraints: list[str] = []
    for line in _whole_lines(lines):
        included = _INCLUDES.fullmatch(line)
        if included:
            name = included["file"].strip().removeprefix("./")
            if name not in files:
                raise SpecError(
                    f"{where} includes the file '{name}', which is not sent along",
                    mend="Write its lines in place of this one.",
                )
            # a file is not offered to itself: one that includes itself ends here with a message
            others = {key: text for key, text in files.items() if key != name}
            inner = read_lines(files[name].splitlines(), others, f"{where}, {name},")
            (requirements if included["r"] else constraints).extend(inner.requirements)
            constraints.extend(inner.constraints)
        elif _LOCAL.match(line) and not line.startswith("/"):
            raise SpecError(
                f"{where} asks for '{line}', a path that nodes do not have",
                mend="Name a package of an index, a URL, or an absolute path that every node has.",
            )
        else:
            requirements.append(line)
    return Lines(tuple(requirements), tuple(dict.fromkeys(constraints)))


def named(lines: Iterable[str]) -> set[str]:
    """The projects that the lines ask for by name, in canonical spelling."""
    return {canonicalize_name(found.name) for line in lines if (found := _parsed(line))}


def options_of(lines: Iterable[str]) -> list[str]:
    """Those of the lines that say where and how to look (``--index-url``, ``-f``), not what for."""
    return [line for line in lines if line.startswith("-")]


def first_unmet(lines: Iterable[str], installed: Callable[[str], Installed | None]) -> str:
    """The first requirement that an interpreter does not satisfy, in words; "" where it satisfies all.

    Args:
        lines: requirements; options of pip (``--index-url``) ask for nothing.
        installed: the distribution of a name, None where there is none.
    """
    for line in lines:
        if line.startswith("-"):
            continue
        requirement = _parsed(line)
        if requirement is None or requirement.url:
            return f"'{line}', of which nobody can tell whether it is there"
        if why := _unmet(requirement, installed, set()):
            return why
    return ""


def _unmet(requirement: Requirement, installed: Callable[[str], Installed | None], seen: set[str]) -> str:
    if requirement.marker and not requirement.marker.evaluate():
        return ""
    asked = f"{requirement.name}{requirement.specifier}"
    found = installed(requirement.name)
    if found is None:
        return f"{asked}, which it has not"
    if not requirement.specifier.contains(found.version, prereleases=True):
        return f"{asked}, where it has {found.version}"
    for extra in requirement.extras - seen:
        for line in found.requires:
            needed = Requirement(line)
            if needed.marker and not needed.marker.evaluate() and needed.marker.evaluate({"extra": extra}):
                needed.marker = None
                if why := _unmet(needed, installed, seen | requirement.extras):
                    return why
    return ""


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """Lines with their continuations, without comments and blank ones."""
    begun = ""
    for line in lines:
        text = begun + re.sub(r"(^|\s)#.*$", "", line).strip()
        begun = ""
        if text.endswith("\\"):
            begun = text[:-1].rstrip() + " "
        elif text:
            yield text
    if begun.strip():
        yield begun.strip()


def _parsed(line: str) -> Requirement | None:
    try:
        return Requirement(re.split(r"\s--hash\b", line)[0].strip())
    except InvalidRequirement:
        return None
