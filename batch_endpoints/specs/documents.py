"""YAML in and out; errors that name file, line, key, what was expected and the nearest known key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from batch_endpoints.errors import SpecError
from batch_endpoints.specs.base import Spec

S = TypeVar("S", bound=Spec)
Location = tuple[str | int, ...]


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, without ``$schema``.

    Raises:
        SpecError: the file cannot be read, is no YAML, or is no mapping.
    """
    return _parse(_text(path), str(path))


def load_yaml(spec: type[S] | TypeAdapter[S], path: Path, changes: Mapping[str, Any] | None = None) -> S:
    """Read one spec from a YAML file.

    Args:
        spec: the class, or the adapter of a union of classes.
        path: the file; errors name it with the line of the key that is wrong.
        changes: values that replace the file's, by dotted key (``--set a.b=c``).

    Raises:
        SpecError: the first thing that is wrong; the others follow, a line each.
    """
    text = _text(path)
    document = _parse(text, str(path))
    for dotted, value in (changes or {}).items():
        set_value(document, dotted, value)
    return check(spec, document, where=str(path), lines=_lines(text))


def check(
    spec: type[S] | TypeAdapter[S],
    document: Any,
    *,
    where: str = "",
    lines: Mapping[Location, int] | None = None,
) -> S:
    """Make a spec of plain data, or say everything that is wrong with it in one error."""
    adapter: TypeAdapter[S] = spec if isinstance(spec, TypeAdapter) else TypeAdapter(spec)
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        found: list[dict[str, Any]] = [dict(e) for e in error.errors(include_url=False)]
        members = _models(spec)
        if isinstance(spec, TypeAdapter) and found[0]["loc"]:  # a location begins with the tag of the union's member
            members = [m for m in members if m.model_fields["type"].default == found[0]["loc"][0]]
            found = [{**e, "loc": e["loc"][1:]} for e in found]
        problems = [_problem(e, document, members, where, lines or {}) for e in _telling(found)]
        raise SpecError("\n".join(dict.fromkeys(problems))) from None


def dump_yaml(spec: Spec) -> str:
    """The spec as YAML that loads to the same spec; keys without a value are left out."""
    return yaml.safe_dump(to_document(spec), sort_keys=False, allow_unicode=True)


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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"cannot read the file: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise SpecError("the file is not UTF-8 text", where=str(path)) from None


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{where}:{line}: not valid YAML: {error.problem}") from None
    if not isinstance(document, dict):
        raise SpecError(f"{where}: expected keys and values, found {type(document).__name__}")
    document.pop("$schema", None)
    return document


def _lines(text: str) -> dict[Location, int]:
    """Where each key stands: path of keys -> line, counted from 1."""
    found: dict[Location, int] = {}

    def walk(node: yaml.Node | None, at: Location) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found[(*at, key.value)] = key.start_mark.line + 1
                walk(value, (*at, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                found[(*at, index)] = value.start_mark.line + 1
                walk(value, (*at, index))

    walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
    return found


def _telling(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a union of scalars and models that does not fit, keep what is wrong with the model."""
    scalars = {"str", "bool", "int", "float"}
    models = [e["loc"] for e in errors if e["loc"] and e["loc"][-1] not in scalars]

    def tells(loc: Location) -> bool:
        return not (
            loc and loc[-1] in scalars and any(m[: len(loc) - 1] == loc[:-1] and len(m) > len(loc) for m in models)
        )

    return [e for e in errors if tells(e["loc"])]


def _problem(
    error: Any, document: Any, members: list[type[BaseModel]], where: str, lines: Mapping[Location, int]
) -> str:
    keys = _keys_of_document(error["loc"], document)
    place = _place(keys, where, lines)
    key = ".".join(str(k) for k in keys) or "the document"
    if error["type"] == "extra_forbidden":
        return f"{place}unknown key '{key}'" + _nearest(str(keys[-1]), _known_keys(members, error["loc"]))
    if error["type"] == "missing":
        return f"{place}'{key}' is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:].replace("Input should be", "expected")
    message = message.replace("input should be", "expected")
    found = error.get("input")
    shown = f", found {found!r}" if isinstance(found, str | int | float | bool) else ""
    return f"{place}'{key}': {message}{shown}" if keys else f"{place}{message}"


def _keys_of_document(loc: Location, document: Any) -> Location:
    """Drop what pydantic puts into a location beyond keys: names of union members.

    A deployment in the legacy layout has its settings at the root: there ``settings`` is dropped as well.
    """
    keys: list[str | int] = []
    for part in loc:
        in_mapping = isinstance(document, dict) and part in document
        in_list = isinstance(document, list) and isinstance(part, int) and part < len(document)
        if in_mapping or in_list:
            keys.append(part)
            document = document[part]
        elif part == loc[-1] and part not in ("str", "bool", "int", "float"):
            keys.append(part)
    return tuple(keys)


def _place(keys: Location, where: str, lines: Mapping[Location, int]) -> str:
    for length in range(len(keys), 0, -1):
        if line := lines.get(keys[:length]):
            return f"{where}:{line}: "
    return f"{where}: " if where else ""


def _nearest(key: str, known: Iterable[str]) -> str:
    known = sorted(set(known))
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known here: {', '.join(known)}" if known else ""


def _known_keys(candidates: list[type[BaseModel]], loc: Location) -> set[str]:
    """The keys allowed where ``loc`` ends; all that could be meant where unions leave it open."""
    for part in loc[:-1]:
        inner: list[type[BaseModel]] = []
        for model in candidates:
            if model.__name__ == part:
                inner = [model]
                break
            if isinstance(part, str) and part in model.model_fields:
                inner += _models(model.model_fields[part].annotation)
        if inner:
            candidates = inner
    known: set[str] = set()
    for model in candidates:
        known |= {field.alias or name for name, field in model.model_fields.items()}
        known |= set(getattr(model, "legacy_keys", ()))
    return known


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every model class that an annotation can hold."""
    if isinstance(annotation, TypeAdapter):
        return _models(annotation._type)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]
