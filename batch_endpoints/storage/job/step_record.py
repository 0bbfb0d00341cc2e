"""The record of a command step: put once, by the first attempt that has succeeded."""

from __future__ import annotations

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs.step_record import StepRecord

_NAME = "step.json"


def put_record(files: WritablePlace, record: StepRecord) -> StepRecord:
    """Let an attempt count, unless another one does.

    Args:
        files: the step's folder.

    Returns: the record that counts.
    """
    if files.put_if_absent(_NAME, record.model_dump_json(indent=2).encode()):
        return record
    return StepRecord.model_validate_json(files.read(_NAME))


def step_record(files: WritablePlace) -> StepRecord | None:
    """The record of the attempt that counts; None while none does."""
    try:
        return StepRecord.model_validate_json(files.read(_NAME))
    except FileNotFoundError:
        return None
