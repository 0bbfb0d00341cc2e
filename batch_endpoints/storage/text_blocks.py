"""Text, block by block, as long as a file is and wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batch_endpoints.storage.files.object_streams import ObjectReader

BLOCK = 1 << 20  # what is looked at at once; in the cache of a CPU it is faster than more


def blocks(file: Any) -> Iterator[bytes]:
    """What is left of a file, never cut between CR and LF."""
    kept = b""
    for piece in _pieces(file):
        for at in range(0, len(piece), BLOCK):
            block = kept + piece[at : at + BLOCK]
            kept = block[-1:] if block.endswith(b"\r") else b""
            if block := block.removesuffix(b"\r"):
                yield block
    if kept:
        yield kept


def _pieces(file: Any) -> Iterator[bytes]:
    """Where it is far away, some of it is read ahead."""
    if isinstance(file, ObjectReader):
        yield from file.ahead()
        return
    while piece := file.read(BLOCK):
        yield piece
