"""Which types of outputs and inputs fit each other.

Data: a file fits a file and a folder a folder, whatever the folder holds (a ``uri_folder`` may hold an MLflow model);
a ``custom_model`` is either. Literals: whole numbers fit numbers, and everything fits a string, as its text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from batch_endpoints.planning.pipeline.literals import is_literal

_FILES = ("uri_file", "custom_model")
_FOLDERS = ("uri_folder", "mltable", "mlflow_model", "triton_model", "custom_model")


def fits(given: str, wanted: str) -> bool:
    """Does what has one type fit an input of another?"""
    if is_literal(given) or is_literal(wanted):
        if not (is_literal(given) and is_literal(wanted)):
            return False
        return given == wanted or wanted == "string" or (given, wanted) == ("integer", "number")
    return (given in _FILES and wanted in _FILES) or (given in _FOLDERS and wanted in _FOLDERS)


def with_article(kind: str) -> str:
    """A type in words."""
    if is_literal(kind):
        return f"a literal of type {kind}"
    if kind == "custom_model":
        return "a file or folder (custom_model)"
    return f"a file ({kind})" if kind == "uri_file" else f"a folder ({kind})"


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all."""
    known = list(known)
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean '{close[0]}'?"
    return f"there are: {', '.join(known[:20])}" if known else "there are none"
