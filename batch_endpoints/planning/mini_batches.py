"""Input files -> mini-batches: what one call of ``run()`` gets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from batch_endpoints.errors import SpecError


@dataclass(frozen=True, order=True)
class InputFile:
    """One file of an input.

    Args:
        path: relative to the input's root, with forward slashes.
        size: bytes.
    """

    path: str
    size: int = 0


def mini_batches(files: Iterable[InputFile], size: int | str) -> list[tuple[InputFile, ...]]:
    """Cut the files, sorted by path, into mini-batches of ``size`` files; the last one may be shorter.

    Raises:
        SpecError: ``size`` is in bytes or rows, which needs tabular partitions.
    """
    if isinstance(size, str):
        raise SpecError(
            f"mini_batch_size {size!r} cuts within files, which this version cannot do yet",
            mend="Give the number of files for one run() call.",
        )
    ordered = sorted(files, key=attrgetter("path"))
    return [tuple(ordered[at : at + size]) for at in range(0, len(ordered), size)]
