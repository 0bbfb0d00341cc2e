"""What is wrong with a document, in the words of the person who wrote it: file, line, key, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from batch_endpoints.specs.limits import quoted, shortened
from batch_endpoints.specs.origins import Location, Origins

_EXPECTED = {
    "string_type": "a valid string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "list_type": "a list",
}
_MOST_PATHS = 64  # a location is short, and few of its parts are ambiguous
_SCALARS = ("str", "bool", "int", "float", "constrained-int", "constrained-float")


def problems(error: ValidationError, spec: Any, document: Any, origins: Origins) -> list[str]:
    """One line for each thing that is wrong.

    Args:
        spec: the class, or the adapter of a union of classes, that the document does not fit.
        origins: where its keys were given.
    """
    found: list[dict[str, Any]] = [dict(e) for e in error.errors(include_url=False)]
    members = _models(spec)
    if len(members) > 1 and found[0]["loc"]:  # a location begins with the tag of the union's member
        members = [m for m in members if m.model_fields["type"].default == found[0]["loc"][0]]
        found = [{**e, "loc": e["loc"][1:]} for e in found]
    told: dict[str, str] = {}
    for each in _telling(found):
        keys = _keys_of_document(each, document)
        place = f"{origin}: " if (origin := origins.of(keys)) else ""
        start = f"{place}{_subject(keys)}"
        expected = _EXPECTED.get(each["type"])
        if expected and start in told:  # what else the same value might have been
            told[start] = told[start].replace(", found ", f" or {expected}, found ", 1)
        elif expected:
            told[start] = f"{start}expected {expected}, found {_shown(each, keys)}"
        else:
            line = _problem(each, keys, members, place)
            told[line] = line
    return list(told.values())


def _problem(error: Mapping[str, Any], keys: Location, members: list[type[BaseModel]], place: str) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            known = _known_keys(members, error["loc"])
            return f"{place}unknown key '{_dotted(keys)}'{_nearest(str(keys[-1]), known)}"
        case "missing":
            return f"{place}'{_dotted(keys)}' is missing"
        case "union_tag_not_found":
            kinds = _either(repr(m.model_fields["type"].default) for m in members if "type" in m.model_fields)
            return f"{place}'{_dotted(keys)}' is missing: expected {kinds}"
        case "union_tag_invalid":
            tag = context["tag"]
            kinds = _either(context["expected_tags"].split(", "))
            return f"{place}{_subject(keys)}expected {kinds}, found {quoted(tag)}"
        case "wrong_key":
            return f"{place}{error['msg']}"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:].replace("Input should be", "expected")
    message = message.replace("input should be", "expected")
    scalar = isinstance(error.get("input"), str | int | float | bool) and keys and not _secret(keys)
    return f"{place}{_subject(keys)}{message}" + (f", found {_shown(error, keys)}" if scalar else "")


def _shown(error: Mapping[str, Any], keys: Location) -> str:
    """The value that was found; never a secret."""
    value = error.get("input")
    if _secret(keys):
        return "something else"
    if isinstance(value, dict):
        return "keys and values"
    return "a list" if isinstance(value, list | tuple) else "nothing" if value is None else quoted(value)


def _secret(keys: Location) -> bool:
    return "credentials" in keys


def _subject(keys: Location) -> str:
    return f"'{_dotted(keys)}': " if keys else ""


def _dotted(keys: Location) -> str:
    return shortened(".".join(str(key) for key in keys))


def _either(choices: Iterable[str]) -> str:
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last


def _telling(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a union of scalars and models that does not fit, keep what is wrong with the model."""
    models = [e["loc"] for e in errors if e["loc"] and not _is_scalar(e["loc"][-1])]

    def tells(loc: Location) -> bool:
        return not (
            loc and _is_scalar(loc[-1]) and any(m[: len(loc) - 1] == loc[:-1] and len(m) > len(loc) for m in models)
        )

    return [e for e in errors if tells(e["loc"])]


def _is_scalar(part: str | int) -> bool:
    """Is this part of a location the name of a union's scalar member, also one with a validator before it?"""
    return part in _SCALARS or (isinstance(part, str) and part.startswith("function-before["))


def _keys_of_document(error: Mapping[str, Any], document: Any) -> Location:
    """Where in the document an error is: without what pydantic puts into a location beyond keys.

    That is names of union members; and of a deployment in the legacy layout, whose settings are at the root,
    ``settings``.
    """
    loc: Location = error["loc"]
    absent: Location = ()
    match error["type"]:
        case "missing":
            loc, absent = loc[:-1], loc[-1:]
        case "union_tag_not_found" | "union_tag_invalid":
            absent = ("type",)
        case "wrong_key":
            loc = (*loc, *error["ctx"]["key"].split("."))
    return (*_followed(loc, document), *absent)


def _followed(loc: Location, document: Any) -> Location:
    """The parts of a location that are keys one below the other, as many as can be, and the last one if it can be.

    A part that names a member of a union may be the name of a key as well: each is tried as both.
    """
    paths: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    for part in loc:
        further = [((*keys, part), inner[part]) for keys, inner in paths if _has(inner, part)]
        paths = (further + paths)[:_MOST_PATHS]
    last = loc[-1:]
    return max(paths, key=lambda path: (path[0][-1:] == last, len(path[0])))[0]


def _has(document: Any, part: str | int) -> bool:
    if isinstance(document, list):
        return isinstance(part, int) and part < len(document)
    return isinstance(document, dict) and part in document


def _nearest(key: str, known: Iterable[str]) -> str:
    known = sorted(set(known))
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known here: {', '.join(known)}" if known else ""


def _known_keys(candidates: list[type[BaseModel]], loc: Location) -> set[str]:
    """The keys allowed where ``loc`` ends; all that could be meant where unions leave it open."""
    for part in loc[:-1]:
        if len(candidates) > 1 and (tagged := [one for one in candidates if _tag(one) == part]):
            candidates = tagged
            continue
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


def _tag(model: type[BaseModel]) -> Any:
    """What tells it from the others of a union."""
    return model.model_fields["type"].default if "type" in model.model_fields else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every model class that an annotation can hold."""
    if isinstance(annotation, TypeAdapter):
        return _models(annotation._type)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]
