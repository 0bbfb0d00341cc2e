"""Numbers in specs, each with an upper bound: what nobody can mean must not reach a clock, a loop or a store."""

from __future__ import annotations

import re
import sys
from typing import Annotated

from pydantic import BeforeValidator, Field

MOST_COUNTED = 2**31 - 1  # an int32, as in Azure's REST
MOST_SECONDS = 30 * 24 * 3600
ISO_SECONDS = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?", re.IGNORECASE)
_LARGEST_LITERAL = 10**100
MOST_NODES, MOST_WORKERS, MOST_TRIES = 10_000, 1000, 1000

Count = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
Threshold = Annotated[int, Field(ge=-1, le=MOST_COUNTED)]
"""Failures that are allowed; -1 any number."""
Seconds = Annotated[int, Field(gt=0, le=MOST_SECONDS)]
Tries = Annotated[int, Field(ge=0, le=MOST_TRIES)]
Nodes = Annotated[int, Field(ge=1, le=MOST_NODES)]
Workers = Annotated[int, Field(ge=1, le=MOST_WORKERS)]
"""Processes of one job on a node."""
Whole = Annotated[int, Field(ge=-(2**63), lt=2**64)]
Real = Annotated[float, Field(ge=-sys.float_info.max, le=sys.float_info.max, allow_inf_nan=False)]


def _with_all_digits(value: object) -> object:
    """A whole number beyond 64 bits as text: a double would not have its digits."""
    beyond = isinstance(value, int) and not -(2**63) <= value < 2**64
    return str(value) if beyond and isinstance(value, int) and abs(value) < _LARGEST_LITERAL else value


LiteralValue = Annotated[str, BeforeValidator(_with_all_digits)] | bool | Whole | Real
"""A value that reaches a script as text."""


def seconds(value: object) -> object:
    """Seconds as a number, or in the wire's ISO 8601 form (``PT45S``, ``PT1H30M``)."""
    if isinstance(value, str) and (found := ISO_SECONDS.fullmatch(value)) and any(found.groups()):
        days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    return value
