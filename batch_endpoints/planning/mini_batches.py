"""Input files -> mini-batches: what one call of ``run()`` gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter


@dataclass(frozen=True, order=True)
class InputFile:
    """One file of an input.

    Args:
        path: relative to the input's root, with forward slashes.
        size: bytes.
        etag: what its store names this very content by; "" on a disk, and where a store says nothing.
    """

    path: str
    size: int = 0
    etag: str = field(default="", compare=False)


def mini_batches(files: Iterable[InputFile], size: int) -> list[tuple[InputFile, ...]]:
    """Cut the files, sorted by path, into mini-batches of ``size`` files; the last one may be shorter."""
    ordered = by_path(files)
    return [tuple(ordered[at : at + size]) for at in range(0, len(ordered), size)]


def by_path(files: Iterable[InputFile]) -> Sequence[InputFile]:
    """The files in their order; what has it already, as listings have, stays as it is."""
    given = files if isinstance(files, Sequence) else list(files)
    return given if all(one.path <= other.path for one, other in pairwise(given)) else sorted(given, key=_path)


_path = attrgetter("path")
