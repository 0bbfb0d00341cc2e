"""What a pipeline's job is given, by what its component declares."""

import pytest

from batch_endpoints.errors import InvocationError
from batch_endpoints.planning.pipeline.literals import literal_value
from batch_endpoints.planning.pipeline.pipeline_inputs import pipeline_inputs, pipeline_outputs
from batch_endpoints.specs import ComponentInput, JobInput, JobOutput, PipelineComponent

PIPELINE = PipelineComponent(
    jobs={},
    inputs={
        "rows": {"type": "uri_folder"},
        "table": {"type": "mltable", "optional": True},
        "rate": {"type": "number", "default": 0.5, "min": 0, "max": 1},
        "name": {"type": "string", "optional": True},
        "model": {"type": "mlflow_model", "path": "s3://models/one"},
    },
    outputs={"scores": {"type": "uri_folder"}, "report": {"type": "uri_file"}},
)
ROWS = {"rows": JobInput(path="s3://b/rows")}


def literal(value):
    return JobInput(type="literal", value=value)


def test_defaults_stand_in_and_optional_inputs_may_be_missing():
    found = pipeline_inputs(PIPELINE, ROWS)
    assert {name: (given.type, given.path or given.value) for name, given in found.items()} == {
        "rows": ("uri_folder", "s3://b/rows"),
        "rate": ("literal", 0.5),
        "model": ("mlflow_model", "s3://models/one"),
    }


@pytest.mark.parametrize("value", [0, 0.0, 1, "0.25"], ids=repr)
def test_a_value_that_is_given_beats_the_default(value):
    assert pipeline_inputs(PIPELINE, {**ROWS, "rate": literal(value)})["rate"].value == float(value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "the input 'rows' (uri_folder) is missing"),
        ({**ROWS, "row": literal(1)}, "no input 'row'; did you mean 'rows'?"),
        ({**ROWS, "rate": literal(2)}, "the input 'rate': expected at most 1, found 2"),
        ({**ROWS, "rate": literal(-0.1)}, "expected at least 0, found -0.1"),
        ({**ROWS, "rate": literal("fast")}, "expected a number, found 'fast'"),
        ({**ROWS, "rate": literal(True)}, "expected a number, found True"),
        ({**ROWS, "rate": JobInput(path="s3://b/x")}, "expected a number, found data"),
        ({"rows": literal(5)}, "expected data of type uri_folder, found the literal 5"),
        (
            {"rows": JobInput(type="uri_file", path="s3://b/x.csv")},
            "expected data of type uri_folder, found uri_file",
        ),
        (
            {**ROWS, "table": JobInput(type="uri_file", path="s3://b")},
            "expected data of type mltable, found uri_file",
        ),
        ({"rows": JobInput()}, "found no path"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_said_before_there_is_a_job(given, said):
    with pytest.raises(InvocationError) as caught:
        pipeline_inputs(PIPELINE, given)
    assert said in caught.value.what
    assert "rate (number, default 0.5)" in caught.value.mend


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(InvocationError) as caught:
        pipeline_inputs(PIPELINE, {"rat": literal(1), "rate": literal(7)})
    assert len(caught.value.what.splitlines()) == 3


def test_outputs_are_those_that_are_declared():
    found = pipeline_outputs(PIPELINE, {"report": JobOutput(path="s3://b/report.html")})
    assert {name: (output.type, output.path) for name, output in found.items()} == {
        "scores": ("uri_folder", ""),
        "report": ("uri_file", "s3://b/report.html"),
    }
    with pytest.raises(InvocationError, match="no output 'score'; did you mean 'scores'"):
        pipeline_outputs(PIPELINE, {"score": JobOutput()})


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        ("string", "007", "007"),
        ("string", "1e5", "1e5"),
        ("string", "", ""),
        ("integer", "123456789012345678901234567890", 123456789012345678901234567890),
        ("integer", 3.0, 3),
        ("boolean", "False", False),
        ("boolean", False, False),
        ("number", "1e3", 1000.0),
        ("number", 10**17, 10**17),
    ],
)
def test_a_literal_is_what_its_type_states(kind, value, typed):
    found = literal_value(value, ComponentInput(type=kind))
    assert (found, type(found)) == (typed, type(typed))


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        ({"type": "integer"}, "3.5", "expected a whole number, found '3.5'"),
        ({"type": "integer"}, True, "expected a whole number"),
        ({"type": "boolean"}, "maybe", "expected true or false"),
        ({"type": "number"}, "nan", "expected a number"),
        ({"type": "string", "enum": ["a", "b"]}, "c", "expected one of 'a', 'b', found 'c'"),
        ({"type": "integer", "enum": [1, 2]}, "3", "expected one of 1, 2"),
    ],
    ids=repr,
)
def test_a_literal_that_does_not_fit_is_refused(declared, value, said):
    with pytest.raises(ValueError, match=said):
        literal_value(value, ComponentInput(**declared))
