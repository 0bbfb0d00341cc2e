"""``partition_keys``: what belongs together, by folder names ``key=value`` or by the values of columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, unquote

MISSING = "__HIVE_DEFAULT_PARTITION__"
"""The folder's value where a row has none, as Hive and Spark name it."""
_LONGEST = 200  # bytes of a folder's name


def folder_values(path: str, keys: Sequence[str]) -> dict[str, str | None] | None:
    """The values that a file's folders give the keys; None where one is not among them."""
    named = dict(name.split("=", 1) for name in path.split("/")[:-1] if "=" in name)
    if any(key not in named for key in keys):
        return None
    return {key: None if named[key] == MISSING else unquote(named[key]) for key in keys}


def groups_of_files(paths: Iterable[str], keys: Sequence[str]) -> list[tuple[str, ...]] | None:
    """The files of each group, in the order of the first file of each; None where one has no folder for a key."""
    groups: dict[tuple[str | None, ...], list[str]] = {}
    for path in paths:
        values = folder_values(path, keys)
        if values is None:
            return None
        groups.setdefault(tuple(values.values()), []).append(path)
    return [tuple(files) for files in groups.values()]


def partition_folder(values: Mapping[str, object]) -> str:
    """Folders ``key=value`` for the values of columns; ``folder_values`` reads them back, unless one is very long."""
    return "/".join(_short(f"{quote(key, safe='')}={_text(value)}") for key, value in values.items())


def _text(value: object) -> str:
    return MISSING if value is None else quote(str(value), safe=" ")


def _short(name: str) -> str:
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 33]}~{hashlib.sha256(name.encode()).hexdigest()[:32]}"
