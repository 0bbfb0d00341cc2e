"""Input files -> mini-batches: what one call of ``run()`` gets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter


@dataclass(frozen=True, order=True)
class InputFile:
    """One file of an input.

    Args:
        path: relative to the input's root, with forward slashes.
        size: bytes.
    """

    path: str
    size: int = 0


def mini_batches(files: Iterable[InputFile], size: int) -> list[tuple[InputFile, ...]]:
    """Cut the files, sorted by path, into mini-batches of ``size`` files; the last one may be shorter."""
    ordered = sorted(files, key=attrgetter("path"))
    return [tuple(ordered[at : at + size]) for at in range(0, len(ordered), size)]
