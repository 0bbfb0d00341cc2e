"""The file, or folder of files, that gets a job's rows: what its name and ``output_format`` say together."""

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


_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


class RowsFile(NamedTuple):
    """A file with rows, or a folder of them where its name ends with a slash.

    Args:
        compression: pyarrow's name of it; "" for none.
    """

    name: str
    format: OutputFormat
    compression: str = ""

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")

    @property
    def part_suffix(self) -> str:
        """What the names of the files in a folder end with."""
        return ".csv" if self.format == "azureml" else f".{self.format}"


def uncompressed(name: str) -> tuple[str, str]:
    """A file's name without the ending that says how it is compressed, and pyarrow's name of that, "" for none."""
    path = PurePosixPath(name)
    compression = _COMPRESSIONS.get(path.suffix.lower(), "")
    return (path.stem if compression else path.name), compression


def rows_file(name: str | None, wanted: OutputFormat | None) -> RowsFile:
    """What a deployment or a job asks for.

    Args:
        name: of the file; None is the default one, with the ending of the format that is wanted.
        wanted: ``output_format``; None is for the name to say, and Parquet in a folder.

    Raises:
        ValueError: nobody writes that, or the two contradict each other.
    """
    if name is None:
        ending = ".csv" if wanted in (None, "azureml") else f".{wanted}"
        name = str(PurePosixPath(DEFAULT_NAME).with_suffix(ending))
    if name.endswith("/"):
        return RowsFile(name, wanted or "parquet")
    inner, compression = uncompressed(name)
    suffix = PurePosixPath(inner).suffix.lower()
    if suffix not in _OF_SUFFIX and wanted is None:
        raise ValueError(
            f"'{suffix}' is no format of an output; there are .csv .jsonl .parquet .arrow, the first two also with "
            f"{' '.join(_COMPRESSIONS)} behind it, and output_format for any other name"
        )
    possible = _OF_SUFFIX.get(suffix, _OF_SUFFIX[""])
    format = wanted or possible[0]
    if format not in possible:
        raise ValueError(f"output_format is '{wanted}', and the name '{name}' says {possible[0]}; change one of them")
    if compression and format in ("parquet", "arrow"):
        raise ValueError(f"'{name}' is compressed text by its name, and its format is {format}; change one of them")
    return RowsFile(name, format, compression)
