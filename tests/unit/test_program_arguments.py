"""The arguments of a parallel step's script."""

import random

import pytest

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.steps.program_arguments import Port, argument_words, named_port, ports

A, B, OUT = Port("inputs", "a"), Port("inputs", "b"), Port("outputs", "out")
NASTY = ["", " ", "a b", "'", '"', "\\", "$HOME", "`id`", "${{inputs.b}}", "$[[x]]", "\n", "*", "#", "ü", "]]", "\0"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("--model ${{inputs.a}}", ["--model", "A"]),
        ("--model   ${{ inputs.a }}\n  --n 5\n", ["--model", "A", "--n", "5"]),
        ("--model=${{inputs.a}}/x", ["--model=A/x"]),
        ("'${{inputs.a}} and' \"${{outputs.out}}\"", ["A and", "O"]),
        ("${{inputs.a}}${{outputs.out}}", ["AO"]),
        ("--x 1 $[[--b ${{inputs.b}}]] --y 2", ["--x", "1", "--y", "2"]),
        ("$[[--a ${{inputs.a}}]]$[[--out ${{outputs.out}}]]", ["--a", "A", "--out", "O"]),
        ("$[[--a ${{inputs.a}} --b ${{inputs.b}}]]", []),
        ("$[[--verbose]]", ["--verbose"]),
        ("--re '[[a]]' $[x]", ["--re", "[[a]]", "$[x]"]),
        ("\"\" ''", ["", ""]),
        ("a\\ b", ["a b"]),
    ],
)
def test_words_are_those_of_a_shell_with_values_whole_in_them(text, words):
    assert argument_words(text, {A: "A", OUT: "O"}) == words


@pytest.mark.parametrize("seed", range(20))
def test_no_value_is_ever_cut_or_read_as_anything_else(seed):
    rng = random.Random(seed)
    first, second = ("".join(rng.choices(NASTY, k=rng.randrange(1, 8))) for _ in range(2))
    text = '--a ${{inputs.a}} $[[--b=${{inputs.b}}]] "\'${{inputs.a}}"'

    assert argument_words(text, {A: first, B: second}) == ["--a", first, f"--b={second}", f"'{first}"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("--b ${{inputs.b}}", r"\$\{\{inputs.b\}\}, which has no value"),
        ("--a 'x", "no closing quotation"),
    ],
)
def test_what_cannot_become_words_is_an_error(text, says):
    with pytest.raises(SpecError, match=says):
        argument_words(text, {A: "A"})


def test_ports_are_found_in_expressions_and_in_texts():
    assert named_port(" ${{ inputs.a }} ") == A
    assert [named_port(text) for text in ("", "a", "${{outputs.out}}/x", "${{parent.inputs.a}}")] == [None] * 4
    assert ports("x ${{outputs.out}} ${{inputs.a}} $[[${{inputs.a}}]]") == [OUT, A]
    assert str(OUT) == "${{outputs.out}}"
