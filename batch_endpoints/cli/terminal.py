"""The one way of a text to the terminal: names, tags, messages and logs are of others, and may hold anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from batch_endpoints.terminal_text import for_stream


def echo(text: str, *, err: bool = False, nl: bool = True, fg: str | None = None, raw: bool = False) -> None:
    """Print a text; on a terminal its control characters are shown and have no effect.

    Args:
        err: on stderr.
        nl: with a line feed.
        fg: colour.
        raw: as it is: it was made here, or somebody asked for that.
    """
    stream = sys.stderr if err else sys.stdout
    shown = text if raw else for_stream(text, stream)
    styled = click.style(shown, fg=fg) if fg and stream.isatty() else shown
    click.echo(styled, err=err, nl=nl, color=True)  # otherwise click takes from a pipe what it has for styles


def write_bytes(pieces: Iterable[bytes]) -> None:
    """Write to stdout what somebody has asked for as it is."""
    for piece in pieces:
        click.echo(piece, nl=False)
