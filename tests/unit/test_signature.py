"""What an MLflow model says of its input, read without MLflow."""

import json

import pytest
import yaml

from batch_endpoints.scoring.signature import signature_columns, takes_tensors

COLUMNS = [{"type": "long", "name": "n", "required": True}, {"type": "array", "name": "tags"}]
TENSOR = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]
NAMED = [{"type": "tensor", "name": "a", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]


@pytest.mark.parametrize(
    ("inputs", "columns", "tensors"),
    [
        (json.dumps(COLUMNS), {"n": "long", "tags": "array"}, False),
        (json.dumps(TENSOR), None, True),
        (json.dumps(NAMED), None, True),
        (json.dumps([{"type": "double"}]), None, False),
        ("[]", None, False),
        ("no JSON", None, False),
        (None, None, False),
    ],
    ids=["columns", "a tensor", "named tensors", "columns without names", "nothing", "nonsense", "no inputs"],
)
def test_a_signature_names_columns_or_tensors(inputs, columns, tensors):
    mlmodel = yaml.safe_dump({"signature": {"inputs": inputs}}).encode()

    assert signature_columns(mlmodel) == columns
    assert takes_tensors(mlmodel) is tensors


@pytest.mark.parametrize("mlmodel", [b"", b"flavors: {}", b"signature: x", b"- 1", b"\x00: ["], ids=repr)
def test_a_model_without_a_signature_says_nothing(mlmodel):
    assert signature_columns(mlmodel) is None
    assert not takes_tensors(mlmodel)
