"""What the report of a job adds up: items by what became of them, rows, and files that are no input."""

from __future__ import annotations

from pydantic import Field

from batch_endpoints.specs.base import Spec


class SkippedFile(Spec):
    """Something below the input that a listing leaves out, and why."""

    file: str = Field(description="relative to the input")
    reason: str


class FileSource(Spec):
    """What a script had been given when it wrote a file."""

    mini_batch: int | None = Field(None, description="its number in the plan; None of a file that init() wrote")
    input_files: tuple[str, ...] = Field((), description="relative to the input")


class RenamedFile(Spec):
    """A file that a script wrote, and that is in the output under another name."""

    file: str = Field(description="as the script named it, relative to the output")
    kept_as: str
    reason: str
    mini_batch: int | None = Field(None, description="as of FileSource")
    input_files: tuple[str, ...] = Field((), description="as of FileSource")
    first: FileSource | None = Field(
        None, description="of the file that has kept the name, where another mini-batch wrote one of that name"
    )


class RenamedFiles(Spec):
    """All of them."""

    count: int
    first: tuple[RenamedFile, ...] = Field(description="100 at most; renamed_files.jsonl has all")


class ItemCounts(Spec):
    """Items by what became of them: given = succeeded + failed + skipped + not_scored."""

    given: int = Field(0, description="found in the input")
    succeeded: int = 0
    failed: int = Field(0, description="each is in failed_items.jsonl, with its reason")
    skipped: int = Field(0, description="left out of the plan; each is in skipped.jsonl, with its reason")
    not_scored: int = Field(0, description="the job ended before their turn; 0 where it is Completed")


class FileCounts(Spec):
    """Files by what became of them: given = succeeded + failed + partly_failed + skipped + not_scored.

    Where mini-batches are of bytes or rows, a file is many items. Which files have failed is in failed_items.jsonl,
    which are skipped in skipped.jsonl; one that is in neither, in a job that is Completed, has succeeded.
    """

    given: int = Field(0, description="found in the input, and what was left out of it")
    succeeded: int = Field(0, description="all of it")
    failed: int = Field(0, description="all of it")
    partly_failed: int = Field(0, description="some of its items or rows, while others have succeeded")
    skipped: int = Field(0, description="left out of the plan")
    not_scored: int = Field(0, description="the job ended before all of it was scored; 0 where it is Completed")


class RowCounts(Spec):
    """Rows that went in and came out: read = written + failed, or ``rows_explanation`` states why not."""

    read: int | None = Field(
        None,
        description="given to the model or script, once more where failed items were tried again by request; of "
        "tables alone where there are images too; None where a script reads files itself",
    )
    failed: int = Field(0, description="of items that have succeeded, each in failed_items.jsonl with its reason")
    written: int = Field(0, description="committed output rows")
