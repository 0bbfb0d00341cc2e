"""Lists of items beside the output: what failed, was skipped, or has another name there; one JSON line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs import RenamedFile, SkippedFile, Spec
from batch_endpoints.storage.job.commits import FailedItem, FailedRow


def write_failed_items(files: WritablePlace, failed: Sequence[FailedItem | FailedRow]) -> None:
    """``failed_items.jsonl``: one line per failed item or row; no file where nothing has ever failed."""
    if failed or files.exists("failed_items.jsonl"):
        _write_lines(files, "failed_items.jsonl", _told_in_full(failed))


def write_skipped(files: WritablePlace, skipped: Sequence[SkippedFile]) -> None:
    """``skipped.jsonl``: one line for each file that was left out of the plan; no file where there are none."""
    if skipped:
        _write_lines(files, "skipped.jsonl", skipped)


def write_renamed(files: WritablePlace, renamed: Sequence[RenamedFile]) -> None:
    """``renamed_files.jsonl``: one line for each; no file where there are none."""
    if renamed:
        _write_lines(files, "renamed_files.jsonl", renamed)


def _write_lines(files: WritablePlace, name: str, lines: Iterable[Spec]) -> None:
    with files.open_output(name) as file:
        for line in lines:
            file.write(line.model_dump_json(exclude_none=True).encode() + b"\n")


def _told_in_full(failed: Iterable[FailedItem | FailedRow]) -> Iterator[FailedItem | FailedRow]:
    """Each with its message, and each item with its stack, which a commit tells once for all of one reason.

    Rows stay without a stack that another one has: there may be millions.
    """
    stacks: dict[str, str] = {}
    messages: dict[str, str] = {}
    for one in failed:
        full = {"message": one.message or messages.get(one.reason, "")}
        messages[one.reason] = full["message"]
        if isinstance(one, FailedItem):
            full["stack"] = stacks[one.reason] = one.stack or stacks.get(one.reason, "")
        yield one.model_copy(update=full)
