"""Bundles -> blocks: how many of the bundles that are left one task of Ray Data gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SHARE = 3  # a block has this part of what is left for each worker: large ones first, single bundles at the end
FEW = 8  # bundles for each worker: with fewer, a bundle that waits for a busy worker would be missed by the others


def guided_blocks(bundles: Sequence[T], workers: int) -> list[Sequence[T]]:
    """Blocks in the order of the bundles; each task costs some milliseconds, and the last ones even out skew."""
    blocks: list[Sequence[T]] = []
    at = 0
    while at < len(bundles):
        size = max(1, (len(bundles) - at) // (SHARE * workers))
        blocks.append(bundles[at : at + size])
        at += size
    return blocks


def blocks_at_once(bundles: int, workers: int, most: int) -> int:
    """How many blocks a worker may have: one that waits at the worker hides the way to the driver and back."""
    return most if bundles >= FEW * workers else 1
