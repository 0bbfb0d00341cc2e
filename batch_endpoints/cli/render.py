"""Answers as JSON, YAML, tables, or az's tab-separated values."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from batch_endpoints.cli.terminal import echo
from batch_endpoints.terminal_text import for_stream

Columns = Sequence[str] | Mapping[str, str]
"""Dotted keys that a table shows, or their headings and them; without a heading it is the key's last part.

One with a question mark at its end is shown where a row has a value for it."""

UNCUT = 10_000  # columns: a table in a pipe is not cut to somebody's window


def selection(query: str) -> Callable[[Any], Any]:
    """What picks a part of an answer.

    Raises:
        click.UsageError: the query is no JMESPath.
    """
    if not query:
        return lambda answer: answer
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        compiled = jmespath.compile(query)
    except JMESPathError as error:
        raise click.UsageError(f"--query is not JMESPath: {error}") from None

    def select(answer: Any) -> Any:
        try:
            return compiled.search(answer)
        except JMESPathError as error:
            raise click.UsageError(f"--query does not fit the answer: {error}") from None

    return select


def show(data: Any, form: str, columns: Columns = ()) -> None:
    """Print data on stdout.

    Args:
        data: plain JSON data.
        form: json, yaml, tsv, table or none; jsonc and yamlc, az's in colours, are as json and yaml.
        columns: that a table of a list shows.
    """
    match form:
        case "json" | "jsonc":
            echo(json.dumps(data, indent=2, ensure_ascii=False))
        case "yaml" | "yamlc":
            import yaml

            echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
        case "tsv":
            echo(tsv(data), nl=False)
        case "table":
            _show_table(data, columns)


def tsv(data: Any) -> str:
    """As az prints it: a line for each entry, tabs between its values; nested values are not shown.

    A scalar is its bare value, a list inside a row its length, a mapping inside a row and null nothing.
    """
    rows = data if isinstance(data, list) else [data]
    return "".join(_row(row) + "\n" for row in rows)


def table(data: Any, columns: Columns = ()) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: one row for each entry of a list, or for each key of a mapping.

    Args:
        data: plain JSON data.
        columns: of each entry; () shows every key that has a plain value somewhere.
    """
    if isinstance(data, Mapping):
        return ["key", "value"], [[key, _cell(value)] for key, value in _flat(data).items() if value is not None]
    entries = data if isinstance(data, list) else [data]
    if not all(isinstance(entry, Mapping) for entry in entries):
        rows = [[_cell(v) for v in entry] if isinstance(entry, list) else [_cell(entry)] for entry in entries]
        width = max((len(row) for row in rows), default=1)
        headings = ["result"] if width == 1 else [f"column{number}" for number in range(1, width + 1)]
        return headings, [row + [""] * (width - len(row)) for row in rows]
    flat = [_flat(entry) if columns else entry for entry in entries]
    shown = columns or list(
        dict.fromkeys(key for e in flat for key, value in e.items() if not isinstance(value, dict | list))
    )
    headed = shown if isinstance(shown, Mapping) else {key.rpartition(".")[2]: key for key in shown}
    headed = {
        heading: key.removesuffix("?")
        for heading, key in headed.items()
        if not key.endswith("?") or any(entry.get(key.removesuffix("?")) for entry in flat)
    }
    return list(headed), [[_cell(entry.get(key)) for key in headed.values()] for entry in flat]


def _show_table(data: Any, columns: Columns) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    headings, rows = table(data, columns)
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for heading in headings:
        # a name that is broken in two cannot be copied
        drawn.add_column(
            Text(for_stream(heading, sys.stdout)), overflow="fold", no_wrap=heading in ("name", "status")
        )
    for row in rows:
        drawn.add_row(*(Text(for_stream(cell, sys.stdout)) for cell in row))
    live = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=shutil.get_terminal_size().columns if live else UNCUT)
    if console.measure(drawn, options=console.options.update(width=UNCUT)).maximum > console.width:
        drawn.padding = (0, 0)  # one space between columns instead of three
    with console.capture() as captured:
        console.print(drawn)
    lines = (line.rstrip() for line in captured.get().splitlines())
    echo("\n".join(line for line in lines if line), raw=True)  # with the styles of its own


def _row(row: Any) -> str:
    if isinstance(row, Mapping):
        row = list(row.values())
    if isinstance(row, list):
        return "\t".join(_value(value) for value in row)
    return _value(row)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return str(len(value))
    if value is None or isinstance(value, Mapping):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; empty ones are left out."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value not in ("", []):
            flat[prefix + key] = value
    return flat


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and not any(isinstance(entry, dict | list) for entry in value):
        return ", ".join(str(entry) for entry in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
