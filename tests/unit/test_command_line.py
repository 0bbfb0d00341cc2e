"""The command of a step, really read by a shell: what arrives is what was given, whatever characters it has."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.steps.command_line import command_line

SHELLS = [shell for shell in ("bash", "sh") if shutil.which(shell)]
NASTY = "a  b'\"\\$HOME`id`$(id)*?[a]{b,c}~#;&|<>!\n\tü -x\n"


def arguments(command, inputs=None, outputs=None, shell="bash"):
    """What the program ``args`` of the command gets; each of its calls prints its arguments, each with its end."""
    line = command_line(command, inputs or {}, outputs or {})
    show = 'args() { for a in "$@"; do printf "%s\\0" "$a"; done; }; v=of-shell; s="two words"; n=4\n'
    done = subprocess.run(
        [shell, "-c", show + line.script],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **line.variables},
        cwd="/proc/self" if Path("/proc/self").exists() else "/",
        capture_output=True,
        check=True,
    )
    assert not done.stderr
    return [os.fsdecode(one) for one in done.stdout.split(b"\0")[:-1]]


X = "${{inputs.x}}"
PLACES = {
    "bare": (f"args {X}", ["{}"]),
    "in a word": (f"args --x={X}.txt b", ["--x={}.txt", "b"]),
    "in double quotes": (f'args "a {X} b"', ["a {} b"]),
    "in single quotes": (f"args 'a {X} b' $v", ["a {} b", "of-shell"]),
    "in ANSI quotes": (f"args $'a\\t{X}\\n'", ["a\t{}\n"]),
    "twice": (f"args {X}{X} {X}", ["{}{}", "{}"]),
    "double within single quotes": (f"""args '{{"a": "{X}"}}'""", ['{{"a": "{}"}}']),
    "single within double quotes": (f"""args "it's '{X}'" """, ["it's '{}'"]),
    "with blanks": ("args ${{ inputs.x }}", ["{}"]),
    "after escaped quotes": (f"args \\' \\\" {X} a\\ {X}", ["'", '"', "{}", "a {}"]),
    "after an apostrophe in a comment": (f"# don't {X}\nargs {X} # \" \nargs {X}", ["{}", "{}"]),
    "after a mark that is no comment": (f"args a#' {X}' '#' {X}", ["a# {}", "#", "{}"]),
    "over two lines": (f"args a \\\n  {X} \\\n  b", ["a", "{}", "b"]),
    "in a variable": (f'y={X}; args "$y"', ["{}"]),
    "in a substitution": (f'args "$(printf "%s." {X})"', ["{}."]),
    "in a substitution in quotes in one": (f'args "$(printf %s. "$(printf %s "{X}")")" {X}', ["{}.", "{}"]),
    "in a subshell": (f"(args {X}; (args '{X}')) ", ["{}", "{}"]),
    "in a function": (f"f() {{ args {X}; }}; f; f", ["{}", "{}"]),
    "in a loop": (f"for i in {X} b; do args \"$i\" {X}; done", ["{}", "{}", "b", "{}"]),
    "in a default": (f'args "${{nothing:-{X}}}" ${{v:-"{X}"}} "${{nothing:-a {X} }}"', ["{}", "of-shell", "a {} "]),
    "in a condition": (f"if [ {X} = '{X}' ]; then args yes; fi", ["yes"]),
    "as a pattern": (f"case {X} in {X}) args yes;; *) args no;; esac", ["yes"]),
    "after a case in a substitution": (f'args "$(case a in a) printf %s. {X};; esac)" {X}', ["{}.", "{}"]),
    "in backticks": (f'args `printf "%s" {X} >/dev/null; printf z` {X}', ["z", "{}"]),
    "in backticks in quotes": (f'args "`printf %s. {X}`" "{X}"', ["{}.", "{}"]),
    "after a shift": (f"args $((1<<2)) {X} $(( (n+1) * 2 )) '{X}'", ["4", "{}", "10", "{}"]),
    "after a dollar": (f"args '$'{X} $v", ["${}", "of-shell"]),
    "right after a dollar": ('args $${{inputs.x}} "$${{inputs.x}}" \'$${{inputs.x}}\'', ["${}"] * 3),
    "escaped": (f"args \\{X} \"\\{X}\"", ["$" + X[1:].replace("{", "{{").replace("}", "}}")] * 2),
    "in a here-document": (
        f"args \"$(cat <<END\n'{X}' \"$v\" $(printf %s. {X})\nEND\n)\" {X}",
        ["'{}' \"of-shell\" {}.", "{}"],
    ),
    "in a plain here-document": (
        f"args \"$(cat <<'END'\n'{X}' $v \\ `\\$\n$(id) \"\nEND\n)\" '{X}'",
        ["'{}' $v \\ `\\$\n$(id) \"", "{}"],
    ),
    "in an indented here-document": (f'args "$(cat <<-E\n\t\ta {X}.\n\tE\n)" {X}', ["a {}.", "{}"]),
    "in two here-documents": (f'args "$(cat <<A - <<"B C"\nA{X}\nA\n$v{X}.\nB C\n)"', ["$v{}."]),
}  # fmt: skip
TRIMMED = {"in a here-document", "in an indented here-document"}


def expected(texts, value):
    return [text.format(*[value] * text.count("{}")) for text in texts]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("value", [NASTY.rstrip("\n"), "", "word", "two  words", "-n", "END", "'", '"', "\\", "$v"])
@pytest.mark.parametrize("place", PLACES)
def test_a_placeholder_is_one_word_with_exactly_its_value(place, value, shell):
    if shell == "sh" and "ANSI" in place:
        pytest.skip("a plain shell has no such quotes")
    command, texts = PLACES[place]
    assert arguments(command, {"x": value}, shell=shell) == expected(texts, value)


def texts(min_size=0):
    characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    marks = st.text(st.sampled_from("'\"\\$`(){}[]*?~!#;&|<>= \t\n\r-%x"), min_size=min_size)
    return marks | st.text(characters, min_size=min_size)


AROUND = {"": "", "'a": "b'", '"a': 'b"', "--x=": "", "$'": "'", '"${u:-': '}"', '"$(printf %s. ': ')"'}


@settings(max_examples=100, deadline=None)
@given(texts(), st.sampled_from(sorted(AROUND)))
def test_any_value_arrives_as_it_is(value, begin):
    got = arguments(f"args {begin}{X}{AROUND[begin]}", {"x": value})
    before, after = {"'a": ("a", "b"), '"a': ("a", "b"), "--x=": ("--x=", ""), '"$(printf %s. ': ("", ".")}.get(
        begin, ("", "")
    )
    assert got == [f"{before}{value}{after}"]


@pytest.mark.parametrize(
    ("command", "given", "without"),
    [
        ("args a $[[--x ${{inputs.x}}]] b", ["a", "--x", "1 2", "b"], ["a", "b"]),
        ("args a$[[--x ${{inputs.x}}]]b", ["a", "--x", "1 2", "b"], ["a", "b"]),
        ("args $[[--x=${{inputs.x}}]]$[[--y=${{inputs.y}}]]", ["--x=1 2", "--y="], ["--y="]),
        ("args $[[--x '${{inputs.x}}' \"${{inputs.y}}\"]]", ["--x", "1 2", ""], []),
        ("args 'a$[[-${{inputs.x}}]].txt' \"$[[${{inputs.x}}/]]b\"", ["a-1 2.txt", "1 2/b"], ["a.txt", "b"]),
        ("args $[[a]] $[[ '[[1]]' ${{inputs.x}} [[2]] ]]", ["a", "[[1]]", "1 2", "[[2]]"], ["a"]),
        ("args $[[a $[[${{inputs.x}}]] b]]", ["a", "1 2", "b"], ["a", "b"]),
        ("args \\\n $[[--x ${{inputs.x}} \\\n]] b", ["--x", "1 2", "b"], ["b"]),
        ("args $(printf 'v ' $[[; printf w${{inputs.y}} ${{inputs.x}}]])", ["v", "w"], ["v"]),
    ],
)  # fmt: skip
def test_an_optional_part_is_there_exactly_when_its_inputs_have_values(command, given, without):
    assert arguments(command, {"x": "1 2", "y": ""}) == given
    assert arguments(command, {"x": None, "y": ""}) == without


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("run ${{inputs.lerning_rate}}", "did you mean ${{inputs.learning_rate}}?"),
        ("run ${{outputs.modle}}", "did you mean ${{outputs.model}}?"),
        ("run ${{parent.inputs.x}}", "which the component does not have"),
        ("run $[[ ${{inputs.unknown}} ]]", "which the component does not have"),
        ("run ${{inputs.none}}", "is optional and has no value"),
        ("run ${{inputs.learning_rate", "has no '}}'"),
        ("run $[[ a", "has no ']]'"),
        ("run 'a $[[ b' ]]", "opened outside of a part"),
        ("run $((${{inputs.learning_rate}} + 1))", "is no whole number"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(command, message):
    with pytest.raises(SpecError) as error:
        command_line(command, {"learning_rate": "a[$(id)]", "none": None}, {"model": "/m"})
    assert message in str(error.value)


def test_a_comment_and_the_texts_of_outputs_are_what_they_are():
    inputs, outputs = {"a-b": "1", "a_b": "2"}, {"a-b": "/out put"}
    command = "args ${{inputs.a-b}} ${{inputs.a_b}} ${{outputs.a-b}}/x # ${{inputs.unknown}}"
    assert arguments(command, inputs, outputs) == ["1", "2", "/out put/x"]
