"""The command of a step as a script for a shell, which never parses a value: each placeholder is a variable's.

A placeholder ``${{inputs.x}}`` or ``${{outputs.y}}`` is one word with exactly its value, wherever the author put
quotes. It becomes a reference to a shell variable that is quoted as its place demands: ``"${V}"`` where nothing is
quoted, ``${V}`` in double quotes, and ``'"${V}"'`` in single quotes. So are those in ``$(…)``, in backticks, in
``${name:-…}`` and in here-documents, also where their delimiter is quoted. Comments, and what follows a backslash,
stay as they are.

A part ``$[[ … ]]`` is there when all inputs that it refers to have a value. Outside of quotes its words are words of
their own, whatever stands beside it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.steps.shell_text import read_command

_NAMED = re.compile(r"(inputs|outputs)\.([^\s.]+)")
_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class CommandLine:
    """A script for ``bash -c``, or ``sh -c``, and the environment variables that it refers to."""

    script: str
    variables: dict[str, str]


def command_line(command: str, inputs: Mapping[str, str | None], outputs: Mapping[str, str]) -> CommandLine:
    """The script of a command.

    Args:
        inputs: all that the component has, each with the text that stands for it; None: it has no value.
        outputs: each with its path.

    Raises:
        SpecError: a placeholder of something unknown, or of an input without a value outside of ``$[[ … ]]``.
    """
    names = _variables(inputs, outputs)
    values = {**inputs, **{_output(name): path for name, path in outputs.items()}}

    def refer(placeholder: str, name: str, computed: bool) -> str | None:
        key = _key(placeholder, name, values)
        if (value := values[key]) is None:
            return None
        if computed and not _WHOLE.fullmatch(value):  # the shell would evaluate it
            raise SpecError(
                f"the command computes with {placeholder}, whose value {value[:100]!r} is no whole number",
                mend="A shell computes with whole numbers only; do it in the program.",
            )
        return names[key]

    script = read_command(command, refer)
    return CommandLine(script, {names[key]: value for key, value in values.items() if value is not None})


def _key(placeholder: str, name: str, known: Mapping[str, object]) -> str:
    if found := _NAMED.fullmatch(name):
        key = found[2] if found[1] == "inputs" else _output(found[2])
        if key in known:
            return key
    names = [key if key.startswith(_output("")) else f"inputs.{key}" for key in known]
    near = next(iter(difflib.get_close_matches(name, names, n=1)), "")
    raise SpecError(
        f"the command refers to {placeholder}, which the component does not have"
        + (f"; did you mean ${{{{{near}}}}}?" if near else ""),
        mend=f"It has: {', '.join(names) or 'neither inputs nor outputs'}.",
    )


def _output(name: str) -> str:
    return f"outputs.{name}"


def _variables(inputs: Mapping[str, object], outputs: Mapping[str, object]) -> dict[str, str]:
    """A name for each, as Azure ML has them, and unlike any other also where it is no name in a shell."""
    found: dict[str, str] = {}
    for key, prefix, name in (
        *((name, "AZURE_ML_INPUT_", name) for name in inputs),
        *((_output(name), "AZURE_ML_OUTPUT_", name) for name in outputs),
    ):
        plain = prefix + re.sub(r"[^A-Za-z0-9_]", "_", name)
        while plain in found.values():
            plain += "_"
        found[key] = plain
    return found
