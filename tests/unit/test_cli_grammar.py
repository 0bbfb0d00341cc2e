"""Flags as az takes them: abbreviated, with several values; errors and exit codes."""

import click
import pytest
from click.testing import CliRunner

from batch_endpoints.cli import main
from batch_endpoints.cli.grammar import Main, Noun, Verb, with_each_value_flagged, with_whole_flags
from batch_endpoints.errors import SpecError
from batch_endpoints.specs import ModelDeploymentSettings
from batch_endpoints.specs.deployment import MINI_BATCH_FILES


@click.command(cls=Verb)
@click.option("-f", "--file")
@click.option("-e", "--endpoint-name")
@click.option("--experiment-name")
@click.option("--set", "set_", multiple=True)
@click.option("-y", "--yes", is_flag=True)
def verb(**given):
    return given


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        (["--f", "x"], ["--file", "x"]),
        (["--endpoint", "tumor"], ["--endpoint-name", "tumor"]),
        (["--endpoint=tumor"], ["--endpoint-name=tumor"]),
        (["--set", "a=1"], ["--set", "a=1"]),
        (["--quer", "name"], ["--query", "name"]),
        (["--nothing-like-it"], ["--nothing-like-it"]),
        (["--", "--f"], ["--", "--f"]),
    ],
)
def test_an_unambiguous_beginning_of_a_flag_is_the_flag(given, whole):
    assert with_whole_flags(verb, given) == whole


def test_an_ambiguous_beginning_names_the_flags_it_could_be():
    with pytest.raises(click.UsageError, match="--endpoint-name, --experiment-name"):
        with_whole_flags(verb, ["--e", "x"])


@pytest.mark.parametrize(
    ("given", "flagged"),
    [
        (["--set", "a=1", "b=-2"], ["--set", "a=1", "--set", "b=-2"]),
        (["--set", "a=1", "-y"], ["--set", "a=1", "-y"]),
        (["--set=a=1", "b=2"], ["--set=a=1", "--set", "b=2"]),
        (["--set", "a=1", "--set", "b=2", "c=3"], ["--set", "a=1", "--set", "b=2", "--set", "c=3"]),
        (["-f", "x", "--set", "a", "0", "-1"], ["-f", "x", "--set", "a", "--set", "0", "--set", "-1"]),
    ],
)
def test_each_value_of_a_flag_with_several_gets_the_flag(given, flagged):
    assert with_each_value_flagged(verb, given) == flagged


def test_wrong_flags_are_usage_errors():
    result = CliRunner().invoke(main, ["job", "show", "--nam", "x", "--no-such-flag"])
    assert result.exit_code == 2
    assert "--no-such-flag" in result.stderr


def test_a_query_that_is_none_is_a_usage_error_before_anything_is_done():
    result = CliRunner().invoke(main, ["job", "show", "-n", "x", "--query", "]["])
    assert result.exit_code == 2
    assert "--query is not JMESPath" in result.stderr


def test_a_server_that_is_not_there_says_how_to_start_one(tmp_path, monkeypatch):
    monkeypatch.setenv("BATCH_ENDPOINTS_HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["job", "show", "-n", "x", "--server", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("ERROR: cannot reach the server at http://127.0.0.1:1\n")
    assert "batch-endpoints up" in result.stderr


@pytest.fixture
def failing():
    noun = Noun(name="thing")

    @noun.command()
    @click.option("--bug", is_flag=True)
    def fail(bug):
        raise ValueError("a bug") if bug else SpecError("wrong", where="a.yml", mend="Right it.")

    class One(Main):
        def get_command(self, ctx, cmd_name):
            return noun

    return One(places={"thing": ("", "")}, aliases={})


def test_errors_are_text_and_debug_shows_where(failing):
    told = CliRunner().invoke(failing, ["thing", "fail"])
    assert (told.exit_code, told.stderr) == (1, "ERROR: wrong (a.yml)\nRight it.\n")
    told = CliRunner().invoke(failing, ["thing", "fail", "--bug"])
    assert (told.exit_code, told.stderr.splitlines()[0]) == (1, "ERROR: ValueError: a bug")
    assert isinstance(CliRunner().invoke(failing, ["thing", "fail", "--bug", "--debug"]).exception, ValueError)


@pytest.mark.parametrize(
    "noun", ["batch-endpoint", "endpoint", "batch-deployment", "deployment", "job", "model", "data"]
)
def test_every_noun_lists_its_verbs(noun):
    told = CliRunner().invoke(main, [noun, "--help"]).stdout
    assert "show" in told
    assert "list" in told


NOUNS = [name for name in main.list_commands(None) if isinstance(main.get_command(None, name), Noun)]


@pytest.mark.parametrize("noun", NOUNS)
def test_verbs_are_told_in_lines_that_fit_80_columns_uncut(noun):
    told = CliRunner().invoke(main, [noun, "--help"], terminal_width=80).stdout
    assert "..." not in told.partition("Commands:")[2]


def test_invoke_says_units_and_what_holds_where_nothing_is_given():
    told = " ".join(CliRunner().invoke(main, ["endpoint", "invoke", "--help"]).stdout.split())
    for words in (
        "--mini-batch-size FILES",
        "--instance-count NODES",
        "timeout=600 # seconds",
        "30 seconds for one run()",
    ):
        assert words in told
    assert "10 files" in told
    retries = ModelDeploymentSettings().retry_settings
    assert (MINI_BATCH_FILES, retries.max_retries, retries.timeout) == (10, 3, 30)


def test_help_lists_all_nouns_and_their_short_names():
    told = CliRunner().invoke(main, ["--help"]).stdout
    for name in ("batch-endpoint, endpoint", "batch-deployment, deployment", "job", "compute", "up", "quickstart"):
        assert f"  {name} " in told
