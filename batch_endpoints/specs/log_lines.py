"""How a line of a job's log begins that is the driver's or a worker's own: ``2026-11-24T00:29:22.123Z INFO …``.

What the user's code prints goes into the same file, unchanged: it belongs to the time of the line above it.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

STAMP = re.compile(rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (DEBUG|INFO|WARNING|ERROR|CRITICAL) ", re.MULTILINE)
"""Finds time and level of each such line; times compare as text."""

TROUBLE = frozenset({b"WARNING", b"ERROR", b"CRITICAL"})


def stamp(when: datetime) -> str:
    """A time as it stands in the logs: UTC, to the millisecond."""
    return when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
