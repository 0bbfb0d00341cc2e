"""A script's arguments: text with placeholders -> words, with each value whole in one word, whatever is in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Literal, NamedTuple

from batch_endpoints.errors import SpecError

PLACEHOLDER = re.compile(r"\$\{\{\s*(inputs|outputs)\.([\w-]+)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_VALUE = re.compile("\0([0-9]+)\0")  # what stands for a value while the text is split


class Port(NamedTuple):
    """An input or output that an expression names."""

    kind: Literal["inputs", "outputs"]
    name: str

    def __str__(self) -> str:
        return f"${{{{{self.kind}.{self.name}}}}}"


def named_port(expression: str) -> Port | None:
    """What ``${{inputs.x}}`` names; None where a text is anything else."""
    found = PLACEHOLDER.fullmatch(expression.strip())
    return _port(found) if found else None


def ports(text: str) -> list[Port]:
    """All that a text refers to, in its order."""
    return list(dict.fromkeys(map(_port, PLACEHOLDER.finditer(text))))


def argument_words(text: str, values: Mapping[Port, str]) -> list[str]:
    """The words of the arguments.

    A part ``$[[ … ]]`` is there when each input in it has a value. Quotes and backslashes are those of a POSIX shell,
    and nothing else of a shell is: the text is split before the values are put in.

    Args:
        values: of what has one.

    Raises:
        SpecError: a quote is not closed, or a placeholder outside of ``$[[ … ]]`` has no value.
    """
    found: list[str] = []

    def stand_in(placeholder: re.Match[str]) -> str:
        port = _port(placeholder)
        if port not in values:
            raise SpecError(
                f"program_arguments refers to {port}, which has no value",
                mend="Give it one, or write $[[ … ]] round the arguments that are for it.",
            )
        found.append(values[port])
        return f"\0{len(found) - 1}\0"

    present = _OPTIONAL.sub(lambda part: _if_present(part[1], values), text.replace("]]$[[", "]] $[["))
    try:
        words = shlex.split(PLACEHOLDER.sub(stand_in, present))
    except ValueError as error:
        raise SpecError(
            f"program_arguments cannot be split into words: {str(error).lower()}", mend=f"It is: {text.strip()}"
        ) from None
    return [_VALUE.sub(lambda number: found[int(number[1])], word) for word in words]


def _if_present(text: str, values: Mapping[Port, str]) -> str:
    return text if all(port in values for port in ports(text)) else ""


def _port(found: re.Match[str]) -> Port:
    return Port("inputs" if found[1] == "inputs" else "outputs", found[2])
