"""The signature of an MLflow model, read without MLflow."""

from __future__ import annotations

import json
from typing import Any

import yaml


def takes_tensors(mlmodel: bytes) -> bool:
    """Does a file ``MLmodel`` name tensors for its input, instead of columns?"""
    return any("tensor-spec" in one for one in _inputs(mlmodel))


def signature_columns(mlmodel: bytes) -> dict[str, str] | None:
    """The input columns that a file ``MLmodel`` names, each with MLflow's name of its type.

    Returns: None where it has no signature, or one without columns (tensors).
    """
    try:
        return {column["name"]: column["type"] for column in _inputs(mlmodel) if "tensor-spec" not in column} or None
    except (KeyError, TypeError):
        return None


def _inputs(mlmodel: bytes) -> list[dict[str, Any]]:
    try:
        inputs = json.loads(yaml.safe_load(mlmodel)["signature"]["inputs"])
    except (yaml.YAMLError, ValueError, KeyError, TypeError):
        return []
    return [one for one in inputs if isinstance(one, dict)] if isinstance(inputs, list) else []
