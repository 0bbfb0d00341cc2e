"""A pipeline on a terminal: its steps as a tree with their states, and in a pipe a line for each change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from batch_endpoints.cli.durations import duration

_SIGNS = {"NotStarted": "·", "Completed": "✓", "Failed": "✗", "Canceled": "–"}
_BAR = 20  # characters


def tree(steps: Mapping[str, Mapping[str, Any]], now: datetime | None = None) -> list[str]:
    """One line a step, those of a nested pipeline below its name.

    Args:
        steps: as a job's document has them, by path.
        now: for how long a step has been running; None is the time.
    """
    width = max((_indent(path) + len(path.rpartition(".")[2]) for path in steps), default=0)
    return list(_lines(list(steps), "", steps, width, now or datetime.now(timezone.utc)))


def _lines(
    paths: list[str], above: str, steps: Mapping[str, Mapping[str, Any]], width: int, now: datetime
) -> Iterator[str]:
    """Of the steps below a nested pipeline, ``above`` being its path with a dot; each group at its first step."""
    groups = dict.fromkeys(path.removeprefix(above).partition(".")[0] for path in paths)
    for name in groups:
        path = above + name
        if path in steps:
            label = f"{' ' * _indent(path)}{_SIGNS.get(steps[path]['status'], '●')} {name}"
            yield f"{label:{width + 2}}  {_state(steps[path], now)}"
        else:
            yield f"{' ' * _indent(path)}{name}"
            yield from _lines([one for one in paths if one.startswith(f"{path}.")], f"{path}.", steps, width, now)


def changes(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each step whose status is another one now."""
    for path, step in after.items():
        known = before.get(path, {}).get("status", "NotStarted")
        if step["status"] != known:
            yield f"step {path}: {_state(step, datetime.now(timezone.utc))}"


def _indent(path: str) -> int:
    return 2 * path.count(".")


def _state(step: Mapping[str, Any], now: datetime) -> str:
    parts = [step["status"]]
    if step.get("started_at"):
        began = datetime.fromisoformat(step["started_at"])
        ended = datetime.fromisoformat(step["ended_at"]) if step.get("ended_at") else now
        parts.append(duration(max(0.0, (ended - began).total_seconds())))
    if items := step.get("items"):
        done = step["items_succeeded"] + step["items_failed"]
        full = round(_BAR * done / items)
        bar = f" {'━' * full}{'╌' * (_BAR - full)}" if step["status"] == "Running" else ""
        failed = f", {step['items_failed']} failed" if step["items_failed"] else ""
        parts.append(f"{done} of {items} items{failed}{bar}")
    if (step.get("attempt") or 0) > 1:
        parts.append(f"attempt {step['attempt']}")
    if error := step.get("error"):
        parts.append(str(error.get("message", "")).partition("\n")[0])
    if step.get("note"):
        parts.append(step["note"])
    return "  ".join(parts)
