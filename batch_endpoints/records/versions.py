"""Versions of assets: which one an asset has, which one comes next, and how one asks for the latest."""

from __future__ import annotations

import re
from collections.abc import Iterable

from batch_endpoints.interfaces.records import VERSIONED, AnyAsset, AssetKind
from batch_endpoints.specs import Compute, Datastore


def is_latest(version: str) -> bool:
    """Does this ask for the version created last, whichever it is?"""
    return version in ("", "latest")


def version_of(asset: AnyAsset) -> str:
    """The asset's version; "" where it has none or its kind has none."""
    return "" if isinstance(asset, Datastore | Compute) else asset.version


def with_version(kind: AssetKind, asset: AnyAsset, taken: Iterable[str]) -> AnyAsset:
    """The asset as it is stored: without a version it gets the next one.

    Args:
        taken: all versions stored under its name.
    """
    if kind not in VERSIONED or version_of(asset):
        return asset
    return asset.model_copy(update={"version": next_version(taken)})


def next_version(taken: Iterable[str]) -> str:
    """One more than the greatest whole number among them (Azure ML counts up the same way); "1" is the first."""
    return str(max((int(version) for version in taken if re.fullmatch("[0-9]+", version)), default=0) + 1)
