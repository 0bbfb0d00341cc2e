"""Changes of documents on the command line: ``--set a.b=c``, ``--add``, ``--remove``."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_OTHER_NAMES = {
    "job_name": "name",
    "compute.instance_count": "instance_count",
    "resources.instance_count": "instance_count",
}


def assignments(pairs: Iterable[str], flag: str = "--set") -> dict[str, Any]:
    """``a.b=c`` -> ``{"a.b": "c"}``; a value that is a JSON list or object is taken as such.

    Other values stay text: a setting that is a number reads it as one.

    Raises:
        click.UsageError: there is no ``=``.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip("."):
            raise click.UsageError(f"{flag} takes key=value, found '{pair}'")
        values[key] = _json_or_text(value)
    return values


def job_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """``assignments`` of what one job wants: its settings may be named as they are in a deployment's YAML."""
    return {_of_invocation(key): value for key, value in assignments(pairs).items()}


def flags_of(given: Mapping[str, object]) -> dict[str, str]:
    """Of keys that have a flag of their own name, those that were given: ``{"endpoint_name": "--endpoint-name"}``."""
    return {key: f"--{key.replace('_', '-')}" for key, value in given.items() if value}


def changed(
    document: dict[str, Any], set_: Iterable[str], add: Iterable[str], remove: Iterable[str]
) -> dict[str, Any]:
    """The document with ``--set``, ``--add`` and ``--remove`` applied, in this order.

    Raises:
        click.UsageError: what is to be removed is not there, or added to something that is no list.
    """
    document = copy.deepcopy(document)
    for key, value in assignments(set_).items():
        _parent(document, key, make=True)[_last(key)] = value
    _add(document, list(add))
    _remove(document, list(remove))
    return document


def file_option(function: F) -> F:
    return click.option("-f", "--file", type=click.Path(path_type=Path), help="YAML file that describes it.")(
        function
    )


def set_option(function: F) -> F:
    return click.option("--set", "set_", multiple=True, metavar="KEY=VALUE ...", help="Replace values of the YAML.")(
        function
    )


def edit_options(function: F) -> F:
    """``--set``, ``--add`` and ``--remove`` of an update."""
    for option in (
        click.option("--force-string", is_flag=True, hidden=True, expose_value=False),
        click.option("--remove", multiple=True, metavar="KEY [INDEX]", help="Remove a key, or an entry of a list."),
        click.option("--add", multiple=True, metavar="KEY VALUE ...", help="Add to a list, or KEY=VALUE."),
        click.option("--set", "set_", multiple=True, metavar="KEY=VALUE ...", help="Set values."),
    ):
        function = option(function)
    return function


def no_wait_option(function: F) -> F:
    return click.option("--no-wait", is_flag=True, expose_value=False, help="Accepted; nothing here takes long.")(
        function
    )


def _of_invocation(key: str) -> str:
    for whole in ("resources.properties", "compute.properties"):
        if key == whole or key.startswith(f"{whole}."):
            return "resource_properties" + key.removeprefix(whole)
    return _OTHER_NAMES.get(key, key.removeprefix("settings."))


def _json_or_text(value: str) -> Any:
    if value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _parent(document: dict[str, Any], key: str, *, make: bool) -> dict[str, Any]:
    at = document
    for part in key.split(".")[:-1]:
        inner = at.get(part)
        if not isinstance(inner, dict):
            if not make:
                raise click.UsageError(f"there is no '{key}'")
            inner = at[part] = {}
        at = inner
    return at


def _add(document: dict[str, Any], words: list[str]) -> None:
    """``--add tags.a=b``, or the name of a list and what to append."""
    target: list[Any] | None = None
    for word in words:
        if target is None and "=" in word:
            for key, value in assignments([word], "--add").items():
                _parent(document, key, make=True)[_last(key)] = value
        elif target is None:
            found = _parent(document, word, make=True).setdefault(_last(word), [])
            if not isinstance(found, list):
                raise click.UsageError(f"--add: '{word}' is not a list; use --set {word}=…")
            target = found
        else:
            target.append(_json_or_text(word))


def _remove(document: dict[str, Any], words: list[str]) -> None:
    for index, word in enumerate(words):
        if word.lstrip("-").isdecimal() and index:
            continue
        parent, last = _parent(document, word, make=False), _last(word)
        if last not in parent:
            raise click.UsageError(f"--remove: there is no '{word}'")
        behind = words[index + 1] if index + 1 < len(words) else ""
        if behind.lstrip("-").isdecimal():
            try:
                del parent[last][int(behind)]
            except (IndexError, TypeError, KeyError):
                raise click.UsageError(f"--remove: '{word}' has no entry {behind}") from None
        else:
            del parent[last]
