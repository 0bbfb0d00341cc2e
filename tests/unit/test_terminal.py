"""Nothing that others have named, written or printed moves the cursor of a terminal."""

import ast
import sys
from pathlib import Path

import pytest

from batch_endpoints import cli
from batch_endpoints.cli import render, terminal
from batch_endpoints.cli.grammar import CommonFlags, Failed
from batch_endpoints.cli.job import _as_text
from batch_endpoints.terminal_text import visible

EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj.exe\r\x00\x7f\tb\nc é 😀"
SHOWN = "a\\x1b]0;owned\\x07\\x1b[2J\\u009b31m\\u202egpj.exe\\x0d\\x00\\x7f\tb\nc é 😀"
HARMFUL = ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\x00", "\x7f")


LIVE = pytest.mark.parametrize("live", [True, False], ids=["terminal", "pipe"])


def is_terminal(monkeypatch, live=True):
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: live, raising=False)


def test_control_characters_are_written_out():
    assert visible(EVIL) == SHOWN


@LIVE
def test_a_terminal_gets_no_control_characters_and_a_pipe_all_of_them(capsys, monkeypatch, live):
    is_terminal(monkeypatch, live)
    terminal.echo(EVIL)
    terminal.echo(EVIL, err=True)
    out, err = capsys.readouterr()
    assert (out, err) == ((f"{SHOWN}\n",) * 2 if live else (f"{EVIL}\n",) * 2)


@LIVE
def test_raw_text_reaches_the_terminal_as_it_is(capsys, monkeypatch, live):
    is_terminal(monkeypatch, live)
    terminal.echo("\x1b[31mred\x1b[0m", raw=True)
    assert "\x1b[31mred" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["json", "yaml", "tsv", "table"])
def test_an_answer_in_any_form_has_none_on_a_terminal(capsys, monkeypatch, form):
    is_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    render.show([{"name": EVIL, EVIL: "x"}], form)
    out = capsys.readouterr().out
    assert "owned" in out
    assert not [character for character in HARMFUL if character in out]


@LIVE
def test_an_error_has_none_on_a_terminal(capsys, monkeypatch, live):
    is_terminal(monkeypatch, live)
    Failed(EVIL).show()
    CommonFlags("", False).note(EVIL)
    err = capsys.readouterr().err
    assert ("\x1b]0" in err) != live


def test_all_that_the_command_line_prints_goes_one_way():
    for file in Path(cli.__file__).parent.glob("*.py"):
        calls = [
            ast.unparse(node.func) for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)
        ]
        assert not {"print", "click.secho", "click.echo"} & {*calls} or file.name == "terminal.py", file.name


def test_logs_that_are_no_utf_8_are_text():
    pieces = ["é".encode()[:1], "é".encode()[1:] + b"\xff\x00 caf\xe9\n", b"\xe2\x82"]
    assert "".join(_as_text(pieces)) == "é\\xff\\x00 caf\\xe9\n\\xe2\\x82"
