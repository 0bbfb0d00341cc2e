"""The names of claims (see ``claims``): hidden files beside an output, no part of it nor of an input."""

from __future__ import annotations

import hashlib
import re

_CLAIM = re.compile(r"(?:.*/)?\.[^/]+\.job/[0-9a-f]{16}", re.DOTALL)


def claims_folder(output: str) -> str:
    """Where all claims on an output are, below the folder that it is in."""
    return f".{output.rstrip('/') or 'output'}.job"


def claim_file(holder: str) -> str:
    """The name of a job's own claim, which no other job has.

    Args:
        holder: URI of the job's folder.
    """
    return hashlib.sha256(holder.encode()).hexdigest()[:16]


def is_claim(path: str) -> bool:
    """Is this what some job has put beside its output for as long as it runs?"""
    return bool(_CLAIM.fullmatch(path))
