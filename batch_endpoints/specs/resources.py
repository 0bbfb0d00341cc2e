"""What a job runs on: how many instances, and what each of its workers reserves."""

from __future__ import annotations

import difflib
import re
from typing import Any

from pydantic import Field, ValidationError, field_validator

from batch_endpoints.specs.base import Spec, wrong_key
from batch_endpoints.specs.numbers import Nodes

_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_MOST = 100_000  # of CPUs or GPUs on one node
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"  # as Ray and Kubernetes have them
_LABEL_KEY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*/)?{_LABEL}")
_LABEL_VALUES = re.compile(rf"!?(?:{_LABEL}|in\({_LABEL}(?:, ?{_LABEL})*\))")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?b)?", re.IGNORECASE)


class WorkerResources(Spec):
    """What one worker reserves of its node; None: its share, see ``planning/resources.py``."""

    num_cpus: float | None = Field(None, gt=0, le=_MOST, description="may be a fraction")
    num_gpus: float | None = Field(None, ge=0, le=_MOST, description="a fraction shares a GPU with other workers")
    memory: int | None = Field(None, gt=0, lt=1 << 60, description='bytes, or "2GB"; a GB has 1,024 MB')
    label_selector: dict[str, str] = Field(
        default_factory=dict,
        description="labels of its node, as Ray has them: a value, !value, in(a, b) or !in(a, b) for each key",
    )

    @field_validator("num_cpus", "num_gpus", mode="before")
    @classmethod
    def _a_number(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("expected a number, such as 0.5")
        return value

    @field_validator("num_cpus", "num_gpus")
    @classmethod
    def _as_ray_counts(cls, value: float | None) -> float | None:
        if value is not None and round(value, 4) != value:
            raise ValueError("expected at most four digits after the point: Ray counts no finer")
        if value is not None and value > 1 and value != int(value):
            raise ValueError("expected a fraction below 1, or a whole number, of which a worker has all")
        return value

    @field_validator("memory", mode="before")
    @classmethod
    def _bytes(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError('expected a number of bytes, or a size such as "2GB"')
        if not isinstance(value, str):
            return value
        if not (found := _MEMORY.fullmatch(value.strip())):
            raise ValueError('expected a number of bytes, or a size such as "2GB"')
        return int(float(found[1]) * _UNITS[(found[2] or "").lower()])

    @field_validator("label_selector", mode="before")
    @classmethod
    def _as_ray_selects(cls, value: object) -> object:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError("expected labels and their values, such as {ray.io/market-type: spot}")
        for key, values in value.items():
            if not isinstance(key, str) or not _LABEL_KEY.fullmatch(key):
                raise ValueError(f"expected a label such as ray.io/market-type, not {key!r}")
            if not isinstance(values, str):
                raise ValueError(f"expected the value of {key!r} in quotes: labels are texts")
            if not _LABEL_VALUES.fullmatch(values):
                raise ValueError(f"expected value, !value, in(a, b) or !in(a, b) for {key!r}")
        return value

    @property
    def amounts_stated(self) -> bool:
        """Is said how much it reserves?"""
        return (self.num_cpus, self.num_gpus, self.memory) != (None, None, None)

    @property
    def stated(self) -> bool:
        """Is anything said?"""
        return self.amounts_stated or bool(self.label_selector)


def worker_resources(properties: dict[str, Any]) -> WorkerResources:
    """The properties that say what a worker reserves; Azure ML keeps any others.

    Raises:
        PydanticCustomError: a value that does not fit, or a key that is one of ours with a slip of the pen.
    """
    known = list(WorkerResources.model_fields)
    for key in properties:
        if key not in known and (near := difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.8)):
            raise wrong_key(key, f"unknown key 'resources.properties.{key}'; did you mean '{near[0]}'?")
    try:
        return WorkerResources.model_validate({key: properties[key] for key in known if key in properties})
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        raise wrong_key(
            str(first["loc"][0]), f"'resources.properties.{first['loc'][0]}': {reason}, found {first['input']!r}"
        ) from None


def checked_properties(properties: dict[str, Any]) -> dict[str, Any]:
    """The same properties, for a validator; raises as ``worker_resources``."""
    worker_resources(properties)
    return properties


class Resources(Spec):
    """Nodes for one job, and what each of its workers reserves."""

    instance_count: Nodes = 1
    instance_type: str = ""
    properties: dict[str, Any] = Field(
        default_factory=dict,
        description="num_cpus, num_gpus, memory and label_selector say what each worker reserves, and where; "
        "others are kept",
    )

    _reservations = field_validator("properties")(checked_properties)

    @property
    def worker(self) -> WorkerResources:
        """What one worker reserves."""
        return worker_resources(self.properties)
