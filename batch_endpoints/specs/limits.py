"""How large a document may be, and how a part of it is quoted in a message.

What a client sends is held against these before anything walks through it recursively, stores it or repeats it.
"""

from __future__ import annotations

from typing import Any

LARGEST_DOCUMENT = 1 << 20  # bytes
LONGEST_TEXT = 64 << 10  # bytes of one text
DEEPEST = 64  # levels of a document, and of a path
LONGEST_URI = 4096  # bytes
LONGEST_PATH = 1024  # bytes; a disk takes 4,096 for the path and the folders above it
LONGEST_DESCRIPTION = 8192  # bytes
LONGEST_NAME = 256  # bytes of a tag's or a variable's name
_QUOTED = 100  # characters


def excess(document: Any, largest: int | None = LARGEST_DOCUMENT) -> str:
    """Which limit a document of plain data exceeds, in words; "" where it keeps to all of them.

    Args:
        largest: bytes of its keys and texts together, where each value counts 8 more; None is any number.
    """
    size, level, here = 0, 0, [document]
    while here:
        level += 1
        below: list[Any] = []
        for value in here:
            if isinstance(value, str):
                length = len(value.encode(errors="replace"))
                if length > LONGEST_TEXT:
                    return f"a text of {length} bytes, where {LONGEST_TEXT} are the most"
                size += length
            elif isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list | tuple):
                below += value
            size += 8
        if largest is not None and size > largest:
            return f"more than {largest} bytes of values"
        if below and level > DEEPEST:
            return f"more than {DEEPEST} levels, one in the other"
        here = below
    return ""


def quoted(value: Any) -> str:
    """A value for a message, as Python writes it; of a long one the begin."""
    if isinstance(value, str) and len(value) > _QUOTED:
        value = value[: _QUOTED + 1]
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def shortened(text: str, longest: int = _QUOTED) -> str:
    """A text for a message; of a long one the begin."""
    return text if len(text) <= longest else f"{text[:longest]}…"
