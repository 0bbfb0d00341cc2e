"""Lines of ours in a log that a user's process writes to as well."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from batch_endpoints.specs.log_lines import stamp


def append_line(log: Path, level: str, text: str) -> int:
    """Append a line with the time, on a line of its own also where the user's code has left its line open.

    Returns: the size of the log after it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab+") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 1))
        begin = "" if file.read(1) in (b"\n", b"") else "\n"
        line = f"{begin}{stamp(datetime.now(timezone.utc))} {level} {text}\n"
        file.write(line.encode("utf-8", "backslashreplace"))
        file.flush()
        return file.seek(0, 2)
