"""YAML in and out; every error names file, line, key, what was expected and the nearest known key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from batch_endpoints.errors import SpecError
from batch_endpoints.specs.base import FROM_OUTSIDE, Spec
from batch_endpoints.specs.limits import LARGEST_DOCUMENT, excess
from batch_endpoints.specs.origins import Origins
from batch_endpoints.specs.problems import problems
from batch_endpoints.specs.yaml_text import parse_yaml

S = TypeVar("S", bound=Spec)
_MOST_PROBLEMS = 20


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, without ``$schema``.

    Raises:
        SpecError: the file cannot be read, is no YAML, or is no mapping.
    """
    return read_yaml_with_origins(path)[0]


def read_yaml_with_origins(path: Path) -> tuple[dict[str, Any], Origins]:
    """The mapping in a YAML file, and where each of its keys stands; see :func:`read_yaml`."""
    return parse_yaml(_text(path), str(path))


def load_yaml(
    spec: type[S] | TypeAdapter[S],
    path: Path,
    changes: Mapping[str, Any] | None = None,
    flags: Mapping[str, str] | None = None,
) -> S:
    """Read one spec from a YAML file.

    Args:
        spec: the class, or the adapter of a union of classes.
        path: the file; errors name it with the line of the key that is wrong.
        changes: values that replace the file's, by dotted key (``--set a.b=c``).
        flags: what gave them, by dotted key: errors name it instead of a line.

    Raises:
        SpecError: the first thing that is wrong; the others follow, a line each.
    """
    document, origins = read_yaml_with_origins(path)
    for dotted, value in (changes or {}).items():
        set_value(document, dotted, value)
    return check(spec, document, where=origins.changed(flags or {}))


def check(
    spec: type[S] | TypeAdapter[S],
    document: Any,
    *,
    where: str | Origins = "",
    largest: int | None = LARGEST_DOCUMENT,
) -> S:
    """Make a spec of plain data, or say everything that is wrong with it in one error.

    Args:
        where: the name of its file, or where each of its keys was given.
        largest: bytes, as of ``excess``.
    """
    origins = Origins(where) if isinstance(where, str) else where
    adapter: TypeAdapter[S] = spec if isinstance(spec, TypeAdapter) else TypeAdapter(spec)
    if found := excess(document, largest):
        raise SpecError(f"the document has {found}", where=origins.where)
    try:
        return adapter.validate_python(document, context=FROM_OUTSIDE)
    except ValidationError as error:
        told = problems(error, spec, document, origins)
        more = [f"and {len(told) - _MOST_PROBLEMS} more"] if len(told) > _MOST_PROBLEMS else []
        raise SpecError("\n".join([*told[:_MOST_PROBLEMS], *more])) from None


def dump_yaml(spec: Spec) -> str:
    """The spec as YAML that loads to the same spec; keys without a value are left out."""
    return dump_document(to_document(spec))


def dump_document(document: Mapping[str, Any]) -> str:
    """Plain data as YAML that loads to the same."""
    return str(yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def to_document(spec: Spec) -> dict[str, Any]:
    """The spec as plain JSON data without the keys that have no value."""
    return spec.model_dump(mode="json", exclude_none=True)


def set_value(document: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``a.b.c`` in nested mappings, making those that are missing."""
    *parents, last = dotted.split(".")
    for key in parents:
        inner = document.get(key)
        if not isinstance(inner, dict):
            inner = document[key] = {}
        document = inner
    document[last] = value


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which takes some line breaks of Unicode for plain text and then reads them as spaces."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"cannot read the file: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise SpecError("the file is not UTF-8 text", where=str(path)) from None
