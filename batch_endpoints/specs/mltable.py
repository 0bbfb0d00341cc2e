"""An ``MLTable`` file: which files a table is of, and how they are read (Azure ML's MLTable.schema.json).

What is not listed here is refused by its name: a transformation that is left out would change what a model is given.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from batch_endpoints.specs.base import Spec, Uri, wrong_key
from batch_endpoints.specs.numbers import Count


class MLTablePath(Spec):
    """One entry of ``paths``; relative to the folder of the file, or a URI."""

    file: Uri = ""
    folder: Uri = ""
    pattern: Uri = ""

    @model_validator(mode="after")
    def _one_of_them(self) -> MLTablePath:
        if sum(map(bool, (self.file, self.folder, self.pattern))) != 1:
            raise ValueError("expected one of file, folder and pattern")
        return self

    @property
    def path(self) -> str:
        return self.file or self.folder or self.pattern


class _Reading(Spec):
    """What all ``read_…`` say; ours give the output a column ``file`` instead of the input one."""

    include_path_column: Literal[False] = False
    path_column: str = "Path"
    partition_size: Count | None = Field(None, description="of no effect: mini_batch_size says where tables are cut")


class ReadDelimited(_Reading):
    """``read_delimited``: separated values."""

    delimiter: str = Field(",", description="one character of ASCII")
    header: Literal["all_files_same_headers", "all_files_different_headers", "no_header"] = "all_files_same_headers"
    encoding: Literal["utf8", "ascii", "latin1", "windows1252"] = "utf8"
    empty_as_string: bool = Field(False, description="an empty text is a text, not a missing value")
    infer_column_types: bool = True
    support_multi_line: bool = Field(True, description="of no effect: quoted fields may always hold line breaks")

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) != 1 or not value.isascii() or value in '"\r\n':
            raise ValueError("expected one character of ASCII, neither a quote nor a line break")
        return value

    @field_validator("encoding", mode="before")
    @classmethod
    def _any_spelling(cls, value: object) -> object:
        plain = re.sub(r"[-_]", "", str(value)).lower()
        known = {"utf8bom": "utf8", "usascii": "ascii", "iso88591": "latin1", "cp1252": "windows1252"}
        return known.get(plain, plain)


class ReadParquet(_Reading):
    """``read_parquet``."""


class ReadJsonLines(_Reading):
    """``read_json_lines``; a row that is none fails."""

    encoding: Literal["utf8"] = "utf8"
    invalid_lines: Literal["error"] = "error"


class Transformation(Spec):
    """One entry of ``transformations``: one of these."""

    read_delimited: ReadDelimited | None = None
    read_parquet: ReadParquet | None = None
    read_json_lines: ReadJsonLines | None = None
    keep_columns: tuple[str, ...] | None = None
    drop_columns: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_form(cls, document: Any) -> Any:
        """``- read_parquet`` and ``keep_columns: a`` say the same as ``read_parquet: {}`` and ``[a]``."""
        if isinstance(document, str):
            if document not in cls.model_fields:
                raise ValueError(f"'{document}' is not known here; there are {', '.join(cls.model_fields)}")
            return {document: {}}
        if isinstance(document, dict):
            plain = {key: {} if value is None else value for key, value in document.items()}
            return {k: [v] if k.endswith("_columns") and isinstance(v, str) else v for k, v in plain.items()}
        return document

    @model_validator(mode="after")
    def _one_of_them(self) -> Transformation:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"expected one of {', '.join(type(self).model_fields)}")
        return self


class TableReading(Spec):
    """How the files of a table are read.

    Args:
        format: None is for the ending of each name to say.
        keep: the columns that stay; None for all.
    """

    format: Literal["delimited", "parquet", "json_lines"] | None = None
    delimited: ReadDelimited = ReadDelimited()
    keep: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Has a table so read other columns or values than its files have by themselves?"""
        of_no_effect = {"partition_size", "support_multi_line", "path_column"}
        said, plain = (one.model_dump(exclude=of_no_effect) for one in (self.delimited, ReadDelimited()))
        return said != plain or self.keep is not None or bool(self.drop)


class MLTable(Spec):
    """The whole file."""

    type: Literal["mltable"] = "mltable"
    paths: tuple[MLTablePath, ...] = Field(min_length=1)
    transformations: tuple[Transformation, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _read_once_and_first(self) -> MLTable:
        kinds = [next(iter(step.model_fields_set)) for step in self.transformations]
        if any(kind.startswith("read_") for kind in kinds[1:]):
            raise wrong_key("transformations", "a read_… stands first among the transformations, and only once")
        return self

    @property
    def reading(self) -> TableReading | None:
        """What the transformations amount to; None where there are none."""
        if not self.transformations:
            return None
        reading = TableReading()
        for step in self.transformations:
            if step.read_delimited:
                reading = reading.model_copy(update={"format": "delimited", "delimited": step.read_delimited})
            elif step.read_parquet:
                reading = reading.model_copy(update={"format": "parquet"})
            elif step.read_json_lines:
                reading = reading.model_copy(update={"format": "json_lines"})
            elif step.drop_columns:
                reading = reading.model_copy(update={"drop": (*reading.drop, *step.drop_columns)})
            elif step.keep_columns is not None:
                before = reading.keep
                keep = [name for name in step.keep_columns if before is None or name in before]
                reading = reading.model_copy(update={"keep": tuple(keep)})
        return reading
