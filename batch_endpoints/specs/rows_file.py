"""The file that gets a job's rows: what its name and ``output_format`` say together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator

OutputFormat = Annotated[
    Literal["csv", "jsonl", "parquet", "arrow", "azureml"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]
DEFAULT_NAME = "predictions.csv"
_OF_SUFFIX: Mapping[str, tuple[OutputFormat, ...]] = {
    "": ("csv", "azureml", "jsonl", "parquet", "arrow"),
    ".csv": ("csv", "azureml"),
    ".txt": ("csv", "azureml"),
    ".jsonl": ("jsonl",),
    ".parquet": ("parquet",),
    ".pqt": ("parquet",),
    ".arrow": ("arrow",),
    ".feather": ("arrow",),
}
"""What a file so named may hold; the first is what it holds where nobody says more."""


class RowsFile(NamedTuple):
    """A file with rows."""

    name: str
    format: OutputFormat


def rows_file(name: str, wanted: OutputFormat | None) -> RowsFile:
    """What a deployment or a job asks for.

    Args:
        name: of the file. The default one takes the ending of the format that is wanted.
        wanted: ``output_format``; None is for the name to say.

    Raises:
        ValueError: nobody writes that, or the two contradict each other.
    """
    if name == DEFAULT_NAME and wanted not in (None, "azureml"):
        name = str(PurePosixPath(name).with_suffix(f".{wanted}"))
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in _OF_SUFFIX:
        if wanted is None:
            raise ValueError(
                f"'{suffix}' is no format of an output; there are .csv .jsonl .parquet .arrow, and output_format for "
                "any other name"
            )
        return RowsFile(name, wanted)
    possible = _OF_SUFFIX[suffix]
    if wanted is not None and wanted not in possible:
        raise ValueError(f"output_format is '{wanted}', and the name '{name}' says {possible[0]}; change one of them")
    return RowsFile(name, wanted or possible[0])
