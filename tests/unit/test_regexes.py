"""Every regex of the package is linear: twice the text is no more than twice the work, whatever the text."""

from __future__ import annotations

import ast
import itertools
import re
from importlib import import_module
from pathlib import Path

import pytest
from regex_steps import steps

import batch_endpoints
from batch_endpoints.specs import uris

PACKAGE = Path(batch_endpoints.__file__).parent
METHODS = ("compile", "match", "search", "fullmatch", "sub", "split", "findall", "finditer")
PUMPS = [
    "a",
    "/",
    "?",
    ":",
    "@",
    ".",
    "-",
    " ",
    "1",
    "=",
    "\n",
    "_",
    "[",
    "a/",
    "?a",
    "?a=",
    "a.",
    "::",
    "a1",
    "\x1b[",
]
PUMPS += ["/a/versions/", "datastores/a/paths/", ".a.job/", "s3://"]
ENDS = ["", "[", "\n"]


def regexes():
    """Pattern, flags and the strictest way of its use of every regex in the package's source."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        if "examples" in file.relative_to(PACKAGE).parts:
            continue
        module = ".".join(("batch_endpoints", *file.relative_to(PACKAGE).with_suffix("").parts))
        source = file.read_text()
        for node in ast.walk(ast.parse(source)):
            call = node.func if isinstance(node, ast.Call) else None
            if not (isinstance(call, ast.Attribute) and call.attr in METHODS):
                continue
            if not (isinstance(call.value, ast.Name) and call.value.id == "re" and node.args):
                continue
            text = ast.unparse(node.args[0])
            constant = node.args[0]
            if call.attr == "compile":
                name = re.search(
                    r"^(\w+)(?:: .*)? = re\.compile\(.*", "\n".join(source.splitlines()[node.lineno - 1 :])
                )
                value = getattr(import_module(module), name[1], None) if name else None
                if not isinstance(value, re.Pattern):
                    continue
                uses = {use for use in METHODS[1:] if re.search(rf"\b{name[1]}\.{use}\(", source)} or {"search"}
                pattern, flags = value.pattern, value.flags & ~re.UNICODE
            elif isinstance(constant, ast.Constant):
                uses, pattern = {call.attr}, constant.value
                flags = sum(getattr(re, flag) for flag in re.findall(r"re\.([A-Z]+)", ast.unparse(node)))
            else:
                assert isinstance(constant, ast.Name), f"{module}: {text} is not known to this test"
                continue
            pattern = pattern.decode() if isinstance(pattern, bytes) else pattern
            for use in uses:
                found[f"{module.removeprefix('batch_endpoints.')}:{node.lineno}:{use}"] = (pattern, int(flags), use)
    return found


FOUND = regexes()
# with one star, and from one place, a text is gone through once
SUSPICIOUS = [
    name
    for name, (pattern, _, method) in FOUND.items()
    if len(re.findall(r"(?<!\\)[*+]|,\}", pattern)) > (method in ("match", "fullmatch"))
]


def begins(pattern):
    """Texts that lead into the pattern: what stands literally in it, up to each place where it goes on otherwise."""
    literals = re.findall(r"[a-z0-9]*(?:://|:|/|=)|[a-z]{3,}", pattern.replace("\\", ""))
    return ["", "".join(literals[:2])]


@pytest.mark.parametrize("name", sorted(SUSPICIOUS))
def test_a_regex_takes_no_more_than_twice_the_steps_for_twice_the_text(name):
    pattern, flags, method = FOUND[name]
    sizes = (40, 160) if re.search(r"\{\d*,\d+\}", pattern) else (6, 24)
    for begin, pump, end in itertools.product(dict.fromkeys(begins(pattern)), PUMPS, ENDS):
        short, long = (steps(pattern, flags, method, begin + pump * times + end) for times in sizes)
        assert long < 6 * short + 100, (
            f"{pattern!r}, {method} of {begin + pump!r}… {end!r}: {short} steps, then {long}"
        )


def test_the_regexes_of_the_package_are_found():
    assert len(FOUND) > 50
    assert any("[A-Za-z]" in pattern for pattern, _, _ in FOUND.values())


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(?P<name>[^/@:?#]*)(?P<rest>[^/?#]*|:(?!\d+(?:/|\Z))[^@]*)@", "match"),
        (r"[A-Za-z][A-Za-z0-9+.-]*://\S+|\?\S+", "sub"),
        (r"(?:\S+::)?([\w.-]+)\s*([^\[\]]*)", "fullmatch"),
        (r"(a+)+$", "match"),
    ],
)
def test_regexes_that_are_not_linear_are_seen(pattern, method):
    worst = 0.0
    for pump, end in itertools.product(PUMPS, ENDS):
        try:
            short, long = (steps(pattern, 0, method, pump * times + end) for times in (12, 48))
        except OverflowError:
            return
        worst = max(worst, long / (6 * short + 100))
    assert worst > 1


@pytest.mark.parametrize("pump", ["a", ":", "a:", "/", "@", "1", "a/"])
def test_a_long_uri_is_shown_without_its_secrets(pump):
    uri = f"s3://{pump * 50_000}"
    assert "sesame" not in uris.shown(f"s3://key:sesame@{pump * 50_000}")
    assert uris.shown_text(f"no {uri} there") == f"no {uris.shown(uri)} there"
    assert "sesame" not in uris.shown_text(f"{'a' * 50_000}https://key:sesame@host/")
