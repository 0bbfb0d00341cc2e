"""YAML text as plain data, with the line of every key.

Stricter than PyYAML where it would lose something: a key that stands twice is an error, dates stay the text they
are, and versions and tags keep their digits (``version: 1.10`` is not 1.1, ``python: 3.10`` not 3.1). A literal of
``inputs`` stays text where its value would be written otherwise (``007``, ``1.10``, ``yes``): its declared type
decides what it is.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from batch_endpoints.errors import SpecError
from batch_endpoints.specs.limits import LARGEST_DOCUMENT, quoted, shortened
from batch_endpoints.specs.origins import Location, Origins

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TEXT = "tag:yaml.org,2002:str"
_PLAIN_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_LONGEST_NUMBER = 100  # characters
_MOST_NODES = 100_000  # of a document whose aliases are written out
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
    if len(text) > LARGEST_DOCUMENT:
        raise SpecError(f"{where}: the file has {len(text)} characters, where {LARGEST_DOCUMENT} are the most")
    try:
        node = yaml.compose(text, Loader=_Loader)
        if _written_out(node, {}) > _MOST_NODES:
            raise SpecError(f"{where}: its aliases, written out, are more than {_MOST_NODES} values")
        _walk(node, (), lines, set(), where)
        document = _Loader("").construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{where}:{line}: not valid YAML: {shortened(str(error.problem))}") from None
    except RecursionError:
        raise SpecError(f"{where}: the YAML is nested too deeply, or stands in itself") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(
            f"{where}:{line}: not valid YAML: the character U+{error.character:04X} is not allowed"
        ) from None
    except ValueError as error:
        raise SpecError(f"{where}: not valid YAML: {shortened(str(error))}") from None
    if not isinstance(document, dict):
        found = {list: "a list", type(None): "nothing"}.get(type(document), quoted(document))
        raise SpecError(f"{where}: expected keys and values, found {found}")
    document.pop("$schema", None)
    return document, Origins(where, {key: f"{where}:{line}" for key, line in lines.items()})


def _written_out(node: yaml.Node | None, known: dict[int, int]) -> int:
    """How many values a node stands for, each as often as aliases repeat it; what stands in itself counts as one."""
    if node is None or id(node) in known:
        return known[id(node)] if node else 0
    known[id(node)] = 1
    if isinstance(node, yaml.SequenceNode):
        known[id(node)] += sum(_written_out(value, known) for value in node.value)
    elif isinstance(node, yaml.MappingNode):
        known[id(node)] += sum(_written_out(key, known) + _written_out(value, known) for key, value in node.value)
    return known[id(node)]


def _walk(node: yaml.Node | None, at: Location, lines: dict[Location, int], seen: set[int], where: str) -> None:
    """Note the lines of all keys below a node, and turn numbers into text where only text is meant."""
    if id(node) in seen:  # an alias: it may stand in itself
        return
    seen.add(id(node))
    if node and node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
        node.tag = _TEXT  # to read one takes as long as it is, squared
    if isinstance(node, yaml.ScalarNode) and _is_literal(at) and not _is_plain(node):
        node.tag = _TEXT
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
                twice = shortened(key.value)
                raise SpecError(f"{where}:{line}: '{twice}' stands twice, first in line {own[key.value]}")
            own[key.value] = lines[(*at, key.value)] = line
            if (
                key.value in ("version", "python") or at[-1:] in [(name,) for name in _TEXTS]
            ) and value.tag in _NUMBERS:
                value.tag = _TEXT
            _walk(value, (*at, key.value), lines, seen, where)


def _is_literal(at: Location) -> bool:
    """Is this the place of an input's literal: ``inputs.x``, ``inputs.x.default`` or one of ``inputs.x.enum``?"""
    return (
        at[-2:-1] == ("inputs",)
        or (at[-3:-2] == ("inputs",) and at[-1] in ("default", "value"))
        or (at[-4:-3] == ("inputs",) and at[-2] == "enum")
    )


def _is_plain(node: yaml.ScalarNode) -> bool:
    """Would its value be written as it is; always True for text."""
    match node.tag:
        case "tag:yaml.org,2002:int":
            return _PLAIN_INTEGER.fullmatch(node.value) is not None
        case "tag:yaml.org,2002:float":
            try:
                return str(node.value) == repr(float(node.value))
            except ValueError:  # base 60, .inf
                return False
        case "tag:yaml.org,2002:bool":
            return str(node.value) in ("true", "false")
    return True
