"""Params of an MLflow model's predict(): of a deployment, and of one job."""

import pytest

from batch_endpoints.client.wire import invocation_body
from batch_endpoints.errors import SpecError
from batch_endpoints.ingress.bodies import parse_invocation
from batch_endpoints.planning.overrides import effective_deployment
from batch_endpoints.specs import DEPLOYMENT, Invocation, check

DOCUMENT = {"name": "v-1", "model": "m", "settings": {"mlflow_params": {"temperature": 0.5, "top": 3}}}


def test_a_job_has_the_params_of_its_deployment_and_its_own():
    invocation = parse_invocation(invocation_body(Invocation(mlflow_params={"top": 5, "words": ["a"]})))
    settings = effective_deployment(check(DEPLOYMENT, DOCUMENT), invocation).settings
    assert settings.mlflow_params == {"temperature": 0.5, "top": 5, "words": ["a"]}


def test_a_script_takes_none():
    code = {"code": ".", "scoring_script": "score.py"}
    with pytest.raises(SpecError, match="mlflow_params has no meaning with code_configuration"):
        check(DEPLOYMENT, {**DOCUMENT, "code_configuration": code})
