"""The texts of literals."""

import pytest

from batch_endpoints.planning.steps.step_values import literal_text, literal_texts
from batch_endpoints.specs import JobInput
from batch_endpoints.specs.component import CommandComponent


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (True, "boolean", "True"),
        (False, "boolean", "False"),
        ("true", "boolean", "True"),
        ("007", "string", "007"),
        ("1e5", "string", "1e5"),
        ("", "string", ""),
        (0, "integer", "0"),
        (12345678901234567890, "integer", "12345678901234567890"),
        (5.0, "integer", "5"),
        (0.1, "number", "0.1"),
        (5, "number", "5"),
    ],
)
def test_a_literal_is_written_by_its_declared_type(value, kind, text):
    assert literal_text(value, kind) == text


def test_a_value_that_counts_as_nothing_elsewhere_beats_a_default():
    defaults = {"integer": 5, "boolean": True, "string": "x", "number": 0.5}
    inputs = {kind: {"type": kind, "default": default} for kind, default in defaults.items()}
    inputs["optional"] = {"type": "string", "optional": True}
    component = CommandComponent.model_validate({"command": "true", "inputs": inputs})
    values = {"integer": 0, "boolean": False, "string": ""}
    given = {name: JobInput(type="literal", value=value) for name, value in values.items()}
    texts = literal_texts(component, given)
    assert texts == {"integer": "0", "boolean": "False", "string": "", "number": "0.5", "optional": None}
