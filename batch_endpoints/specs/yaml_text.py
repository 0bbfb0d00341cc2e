"""YAML text as plain data, with the line of every key.

Stricter than PyYAML where it would lose something: a key that stands twice is an error, dates stay the text they
are, and versions and tags keep their digits (``version: 1.10`` is not 1.1, ``python: 3.10`` not 3.1).
"""

from __future__ import annotations

from typing import Any

import yaml

from batch_endpoints.errors import SpecError
from batch_endpoints.specs.origins import Location, Origins

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TEXT = "tag:yaml.org,2002:str"
_TEXTS = ("tags", "environment_variables", "variables")  # the last one is of conda files


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without dates: JSON has none, and none of our keys is one."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def parse_yaml(text: str, where: str) -> tuple[dict[str, Any], Origins]:
    """The mapping that a text holds, without ``$schema``, and where each key stands (lines are counted from 1).

    Args:
        where: the file's name, for errors.

    Raises:
        SpecError: it is no YAML, or no mapping, or has a key twice.
    """
    lines: dict[Location, int] = {}
    try:
        node = yaml.compose(text, Loader=_Loader)
        _walk(node, (), lines, set(), where)
        document = _Loader("").construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{where}:{line}: not valid YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(
            f"{where}:{line}: not valid YAML: the character U+{error.character:04X} is not allowed"
        ) from None
    except ValueError as error:
        raise SpecError(f"{where}: not valid YAML: {error}") from None
    if not isinstance(document, dict):
        found = {list: "a list", type(None): "nothing"}.get(type(document), repr(document))
        raise SpecError(f"{where}: expected keys and values, found {found}")
    document.pop("$schema", None)
    return document, Origins(where, {key: f"{where}:{line}" for key, line in lines.items()})


def _walk(node: yaml.Node | None, at: Location, lines: dict[Location, int], seen: set[int], where: str) -> None:
    """Note the lines of all keys below a node, and turn numbers into text where only text is meant."""
    if id(node) in seen:  # an alias: it may stand in itself
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            _walk(value, (*at, index), lines, seen, where)
    elif isinstance(node, yaml.MappingNode):
        own: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in own and key.value != "<<":
                raise SpecError(f"{where}:{line}: '{key.value}' stands twice, first in line {own[key.value]}")
            own[key.value] = lines[(*at, key.value)] = line
            if (
                key.value in ("version", "python") or at[-1:] in [(name,) for name in _TEXTS]
            ) and value.tag in _NUMBERS:
                value.tag = _TEXT
            _walk(value, (*at, key.value), lines, seen, where)
