"""What all nouns share: frozen, strict about unknown keys, and a name of the right shape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import with_info_after_validator_function

from batch_endpoints.specs.limits import LONGEST_DESCRIPTION, LONGEST_NAME, LONGEST_PATH, LONGEST_URI

FROM_OUTSIDE = {"from": "outside"}
"""The context in which a document is validated that somebody has sent or written."""

ENDPOINT_NAME = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
ASSET_NAME = re.compile(r"[a-zA-Z0-9][-\w.]*")
JOB_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9_.]*")
LONGEST_JOB_NAME = 118  # bytes; a disk's names have 255, and names of parts of a job begin with the job's


class Spec(BaseModel):
    """A frozen value; a key it does not have is an error, not a surprise later."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, document: Any) -> Any:
        """``tags:`` with nothing behind it says no more than no ``tags`` at all."""
        if not isinstance(document, dict) or None not in document.values():
            return document
        return {key: value for key, value in document.items() if value is not None or key not in cls.model_fields}


def wrong_key(key: str, message: str) -> PydanticCustomError:
    """What a validator of several keys raises: the error then shows the line of one of them.

    Args:
        key: dotted, relative to the spec that is validated.
    """
    return PydanticCustomError("wrong_key", "{message}", {"key": key, "message": message})


def _endpoint_name(name: str) -> str:
    if not (3 <= len(name) <= 32 and ENDPOINT_NAME.fullmatch(name)):
        raise ValueError(
            "expected 3 to 32 letters, digits and dashes that start with a letter and do not end with a dash"
        )
    return name


def _asset_name(name: str) -> str:
    if not (len(name.encode(errors="replace")) <= 255 and ASSET_NAME.fullmatch(name)):
        raise ValueError(
            "expected at most 255 bytes of letters, digits, '-', '_' and '.', with a letter or digit first"
        )
    return name


def _output_name(name: str) -> str:
    if not (len(name) <= LONGEST_JOB_NAME and JOB_NAME.fullmatch(name)):
        raise ValueError(
            f"expected at most {LONGEST_JOB_NAME} letters and digits of ASCII, '-', '_' and '.', with a letter or "
            "digit first"
        )
    return name


def _job_name(name: str) -> str:
    if not (len(name) <= LONGEST_JOB_NAME and JOB_NAME.fullmatch(name)) or "--" in name:
        raise ValueError(
            f"expected at most {LONGEST_JOB_NAME} letters and digits of ASCII, '-', '_' and '.', with a letter or "
            "digit first and without '--'"
        )
    return name


@dataclass(frozen=True)
class AtMost:
    """A limit for what comes from outside (``check``); a record from before there was one stays readable."""

    size_bytes: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return with_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "maxLength": self.size_bytes}

    def _check(self, value: str, info: ValidationInfo) -> str:
        if info.context == FROM_OUTSIDE and (length := len(value.encode(errors="replace"))) > self.size_bytes:
            raise ValueError(f"expected at most {self.size_bytes} bytes, and these are {length}")
        return value


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, bool | int | float) else value


Uri = Annotated[str, AtMost(LONGEST_URI)]
"""A URI, or a path that stands for one."""

RelativePath = Annotated[str, AtMost(LONGEST_PATH)]
"""A path below some folder."""

Description = Annotated[str, AtMost(LONGEST_DESCRIPTION)]
"""What a person writes for others to read."""

Strings = dict[
    Annotated[str, BeforeValidator(_as_text), AtMost(LONGEST_NAME)], Annotated[str, BeforeValidator(_as_text)]
]
"""Tags, environment variables: numbers and booleans in YAML are taken as text, as Azure ML does."""

EndpointName = Annotated[str, AfterValidator(_endpoint_name)]
"""Name of an endpoint or of a deployment (Azure ML: 3 to 32 characters)."""

AssetName = Annotated[str, AfterValidator(_asset_name)]
"""Name or version of an asset, a compute or a job: becomes part of paths, so it has no slash."""

JobName = Annotated[str, AfterValidator(_job_name)]
"""Name that a client gives a job; '--' is for the names that the server makes up for parts of a job."""

OutputName = Annotated[str, AfterValidator(_output_name)]
"""Name of a job's output: a folder's name, with room for what is put around it."""

OptionalName = Annotated[str, AfterValidator(lambda name: _asset_name(name) if name else "")]
"""An asset's name where it may have none: written in place, in a deployment."""
