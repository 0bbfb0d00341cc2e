"""The expressions by which the steps of a pipeline are bound to its inputs, its outputs and each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from batch_endpoints.specs.limits import quoted

_PARENT = re.compile(
    r"\$\{\{\s*parent\.(?:inputs\.(?P<input>\w+)|outputs\.(?P<output>\w+)"
    r"|jobs\.(?P<step>[\w-]+)\.outputs\.(?P<of_step>\w+))\s*\}\}"
)
_FORMS = (
    "Write ${{parent.inputs.<input>}}, ${{parent.jobs.<step>.outputs.<output>}} or, for a step's output, "
    "${{parent.outputs.<output>}}."
)


@dataclass(frozen=True)
class ParentInput:
    """``${{parent.inputs.x}}``: an input of the pipeline in which the step is."""

    name: str


@dataclass(frozen=True)
class ParentOutput:
    """``${{parent.outputs.x}}``: an output of the pipeline in which the step is."""

    name: str


@dataclass(frozen=True)
class SiblingOutput:
    """``${{parent.jobs.a.outputs.x}}``: an output of another step of the same pipeline."""

    step: str
    name: str


Expression = ParentInput | ParentOutput | SiblingOutput


def expression(text: object) -> Expression | None:
    """What a value is bound to; None for a value that is no expression.

    Raises:
        ValueError: an expression with a slip of the pen, or one that is only a part of the value.
    """
    if not isinstance(text, str) or "${{" not in text:
        return None
    found = _PARENT.fullmatch(text.strip())
    if found and found["input"]:
        return ParentInput(found["input"])
    if found and found["output"]:
        return ParentOutput(found["output"])
    if found:
        return SiblingOutput(found["step"], found["of_step"])
    if _PARENT.search(text):
        raise ValueError(f"a binding is the whole value, and {quoted(text)} has something beside it. {_FORMS}")
    raise ValueError(f"{quoted(text)} is no binding. {_FORMS}")
