"""How a line of a job's log begins that is the driver's or a worker's own: ``2026-11-24T00:29:22.123Z INFO …``.

What the user's code prints goes into the same file, unchanged: it belongs to the time of the line above it.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone

STAMP = re.compile(rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (DEBUG|INFO|WARNING|ERROR|CRITICAL) ", re.MULTILINE)
"""Finds time and level of each such line; times compare as text."""

TROUBLE = frozenset({b"WARNING", b"ERROR", b"CRITICAL"})


def stamp(when: datetime) -> str:
    """A time as it stands in the logs: UTC, to the millisecond."""
    return when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LogFormatter(logging.Formatter):
    """Lines with a time, by which the logs of a job are merged, and with the fields that loggers pass (``extra``)."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return stamp(datetime.fromtimestamp(record.created, timezone.utc))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        given = vars(record).items()  # of those with an underscore some are Ray's
        fields = (f"{k}={_plain(v)}" for k, v in given if k not in _OF_EACH_RECORD and not k.startswith("_"))
        return " ".join([super().formatMessage(record), *fields])


_OF_EACH_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def _plain(value: object) -> str:
    """A value on one line, in quotes where it could be read as more than one."""
    text = str(value)
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)
