"""Text of others on a terminal: what would move its cursor, change its colours or turn its lines round is shown."""

from __future__ import annotations

import re
from typing import TextIO

# the controls of ASCII and of Latin-1 but for tab and line feed, and those that turn the direction of writing
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text with each control character written out, as ``\\x1b`` or ``\\u202e``."""
    return _CONTROLS.sub(_written_out, text)


def for_stream(text: str, stream: TextIO) -> str:
    """As ``visible`` where the stream is a terminal; a file or a program gets the text as it is."""
    return visible(text) if stream.isatty() else text


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"  # JSON knows no other form of the latter
