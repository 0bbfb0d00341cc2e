"""The texts that stand for a component's inputs in its command."""

from __future__ import annotations

from collections.abc import Mapping

from batch_endpoints.specs.component import LITERAL_TYPES, CommandComponent
from batch_endpoints.specs.invocation import JobInput


def literal_texts(component: CommandComponent, inputs: Mapping[str, JobInput]) -> dict[str, str | None]:
    """Each literal as its program reads it: its value, or else its default; None where it has neither."""
    found: dict[str, str | None] = {}
    for name, declared in component.inputs.items():
        if declared.type in LITERAL_TYPES:
            given = inputs[name].value if name in inputs else None
            value = declared.default if given is None else given
            found[name] = None if value is None else literal_text(value, declared.type)
    return found


def literal_text(value: str | bool | int | float, kind: str) -> str:
    """A value of a declared type as text: booleans as Python writes them, whole numbers with all their digits."""
    if kind == "boolean":
        return str(value).capitalize() if str(value).lower() in ("true", "false") else str(value)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
