"""The signature of an MLflow model, read without MLflow."""

from __future__ import annotations

import json

import yaml


def signature_columns(mlmodel: bytes) -> dict[str, str] | None:
    """The input columns that a file ``MLmodel`` names, each with MLflow's name of its type.

    Returns: None where it has no signature, or one without columns (tensors).
    """
    try:
        document = yaml.safe_load(mlmodel)
        inputs = json.loads(document["signature"]["inputs"])
        return {column["name"]: column["type"] for column in inputs} or None
    except (yaml.YAMLError, ValueError, KeyError, TypeError):
        return None
