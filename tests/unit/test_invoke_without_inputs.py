"""An invocation without inputs, which is for the deployment to take or to refuse."""

from click.testing import CliRunner

from batch_endpoints.cli import main
from batch_endpoints.client.wire import invocation_body
from batch_endpoints.ingress.bodies import parse_invocation
from batch_endpoints.specs import Invocation


def test_it_arrives_as_one_without_inputs():
    assert parse_invocation(invocation_body(Invocation(endpoint="wine"))).inputs == {}


def test_the_command_line_asks_for_no_input_that_the_deployment_may_not_need(monkeypatch, tmp_path):
    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(tmp_path))  # where no server runs
    result = CliRunner().invoke(main, ["endpoint", "invoke", "-n", "wine"])
    assert result.exit_code == 1
    assert "--input" not in result.output
