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
from typing import NamedTuple

from batch_endpoints.errors import SpecError

_PLACEHOLDER = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
_NAMED = re.compile(r"(inputs|outputs)\.([^\s.]+)")
_HEREDOC = re.compile(r"<<(-?)[ \t]*((?:[^\s\\'\"<>|&;()]|\\.|'[^']*'|\"[^\"]*\")+)")
_COMMAND_BEFORE = re.compile(r"(?:^|[;&|(\n{`]|\b(?:do|then|else|in)\b)[ \t]*$")  # of a word that is a command's
_WORD_BEFORE = " \t\n;&|()<>`"  # what a comment may follow
_WHOLE = re.compile(r"[+-]?[0-9]+")

# how the shell reads the text at a place
_BARE, _DOUBLE, _SINGLE, _ANSI, _ARITHMETIC, _DOCUMENT, _PLAIN_DOCUMENT = range(7)


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
    script = _Script({**inputs, **{_output(name): path for name, path in outputs.items()}}, names)
    text = script.read(command, _BARE)
    values = {names[name]: value for name, value in script.values.items() if value is not None}
    return CommandLine(text, values)


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


@dataclass
class _Frame:
    """Something that is open.

    Args:
        mode: how the text in it is read.
        end: what closes it; "" is the end of the text.
        depth: brackets of its own kind that are open in it, or ``case`` without its ``esac``.
        part: where the text of an optional part begins in what is written, and its place in the command.
        lacks: an input that this part refers to has no value.
    """

    mode: int
    end: str
    depth: int = 0
    part: tuple[int, int] | None = None
    lacks: bool = False


class _Document(NamedTuple):
    """A here-document whose text comes after this line.

    Args:
        literal: nothing is expanded in it.
        tabs: those at the begin of its lines go.
        at: where its operator is in what is written.
    """

    delimiter: str
    literal: bool
    tabs: bool
    at: int


@dataclass
class _Script:
    """Rewrites one command."""

    values: Mapping[str, str | None]
    names: Mapping[str, str]
    documents: int = 0

    def read(self, text: str, mode: int) -> str:
        return _Reader(self, text, mode).read()

    def document(self, body: str) -> str:
        """A delimiter that no line of a here-document is."""
        lines = {line.strip("\t") for line in body.split("\n")}
        while (name := f"DOCUMENT_{self.documents}") in lines:
            self.documents += 1
        self.documents += 1
        return name


class _Reader:
    """Reads one text from its begin to its end, and writes what the shell is to read."""

    def __init__(self, script: _Script, text: str, mode: int) -> None:
        self._script, self._text, self._at = script, text, 0
        self._frames = [_Frame(mode, "")]
        self._written: list[str] = []
        self._documents: list[_Document] = []

    def read(self) -> str:
        while self._at < len(self._text):
            self._step()
        self._read_documents()
        if unclosed := [frame.part for frame in self._frames if frame.part]:
            raise self._wrong(f"the part '{self._text[unclosed[-1][1] :][:40]}' of the command has no ']]'")
        return "".join(self._written)

    @property
    def _top(self) -> _Frame:
        return self._frames[-1]

    def _next_is(self, *texts: str) -> bool:
        return self._text.startswith(texts, self._at)

    def _take(self, length: int) -> None:
        """Copy this many characters."""
        text = self._text[self._at : self._at + length]
        if self._top.mode == _PLAIN_DOCUMENT:
            text = re.sub(r"([\\$`])", r"\\\1", text)
        self._written.append(text)
        self._at += length

    def _open(self, length: int, mode: int, end: str) -> None:
        self._take(length)
        self._frames.append(_Frame(mode, end))

    def _close(self, length: int = 1) -> None:
        if self._top.part:
            raise self._wrong(
                "a quote or bracket of the command is opened outside of a part '$[[ … ]]' and closed within it"
            )
        self._take(length)
        self._frames.pop()

    def _step(self) -> None:
        mode = self._top.mode
        escapes = mode not in (_SINGLE, _PLAIN_DOCUMENT)
        if escapes and self._next_is("\\"):
            self._take(2)
        elif escapes and mode != _ANSI and self._next_is("$${{"):  # the shell would take "$$" for its process id
            self._written.append("\\$")
            self._at += 1
        elif self._next_is("${{"):
            self._placeholder()
        elif self._next_is("$[["):
            self._begin_part()
        elif self._top.part and self._next_is("]]"):
            self._end_part()
        elif self._top.part and self._next_is("[["):
            self._top.depth += 1
            self._take(2)
        elif mode in (_SINGLE, _ANSI):
            self._close() if self._next_is("'") else self._take(1)
        elif mode == _PLAIN_DOCUMENT:
            self._take(1)
        elif not self._expansion():
            (self._bare if mode == _BARE else self._quoted)()

    def _expansion(self) -> bool:
        """What begins with ``$`` or a backtick, in double quotes as outside of them."""
        if self._next_is("$(("):
            self._open(3, _ARITHMETIC, "))")
        elif self._next_is("$("):
            self._open(2, _BARE, ")")
        elif self._next_is("${"):
            self._open(2, _BARE if self._top.mode == _BARE else _DOUBLE, "}")
        elif self._next_is("`"):
            if any(frame.end == "`" for frame in self._frames):  # within backticks others have a backslash
                if self._find_end() != "`":
                    self._take(1)
                else:
                    self._close()
            else:
                self._open(1, _BARE, "`")
        else:
            return False
        return True

    def _find_end(self) -> str:
        return self._frames[-2].end if self._top.part and len(self._frames) > 1 else self._top.end

    def _quoted(self) -> None:
        """In double quotes, arithmetic or a here-document."""
        top = self._top
        if top.mode == _ARITHMETIC:
            if self._next_is("("):
                top.depth += 1
            elif self._next_is(")") and top.depth:
                top.depth -= 1
            elif self._next_is("))") and not top.part:
                return self._close(2)
        elif self._next_is('"') and top.mode == _DOUBLE:
            if self._find_end() == '"':
                return self._close()
            return self._open(1, _DOUBLE, '"')  # in "${name:-"…"}"
        elif self._next_is("}") and self._find_end() == "}":
            return self._close()
        return self._take(1)

    def _bare(self) -> None:
        """Where nothing is quoted."""
        top, end = self._top, self._find_end()
        if self._next_is("$'"):
            return self._open(2, _ANSI, "'")
        if self._next_is("'"):
            return self._open(1, _SINGLE, "'")
        if self._next_is('"', '$"'):
            return self._open(1 + self._next_is("$"), _DOUBLE, '"')
        if end == "}":
            return self._close() if self._next_is("}") else self._take(1)
        if self._next_is("#") and self._begins_word():
            return self._comment(end)
        if self._next_is("<<<"):
            return self._take(3)
        if (found := _HEREDOC.match(self._text, self._at)) is not None:
            return self._announce_document(found)
        if self._next_is("\n") and self._documents:
            self._take(1)
            return self._read_documents()
        if self._next_is("((") and self._begins_word():
            return self._open(2, _ARITHMETIC, "))")
        if self._next_is("("):
            return self._open(1, _BARE, ")")
        if self._next_is(")") and end == ")" and not top.depth:
            return self._close()
        if self._next_is("case", "esac") and _COMMAND_BEFORE.search(self._text[: self._at][-20:]):
            word = re.match(r"\w+", self._text[self._at :])
            if not top.part and word and word[0] in ("case", "esac"):
                top.depth = max(0, top.depth + (1 if word[0] == "case" else -1))
        return self._take(1)

    def _begins_word(self) -> bool:
        return not self._at or self._text[self._at - 1] in _WORD_BEFORE

    def _comment(self, end: str) -> None:
        """To the end of the line; within backticks, to their end."""
        rest = re.compile(r"[^\n`]*" if end == "`" else r"[^\n]*").match(self._text, self._at)
        self._take(len(rest[0]) if rest else 1)

    def _placeholder(self) -> None:
        found = _PLACEHOLDER.match(self._text, self._at)
        if not found:
            raise self._wrong(f"the placeholder '{self._text[self._at :][:40]}' of the command has no '}}}}'")
        key, value = self._named(found[0], found[1])
        self._at = found.end()
        if value is None:
            part = next((frame for frame in reversed(self._frames) if frame.part), None)
            if not part:
                raise SpecError(
                    f"the command refers to the input '{key}', which is optional and has no value",
                    mend=f"Put what depends on it into an optional part: $[[ … {found[0]} ]], or give it a default.",
                )
            part.lacks = True
            return
        variable, mode = "${" + self._script.names[key] + "}", self._top.mode
        if mode == _ARITHMETIC and not _WHOLE.fullmatch(value):  # the shell would evaluate it
            raise SpecError(
                f"the command computes with {found[0]}, whose value {value[:100]!r} is no whole number",
                mend="A shell computes with whole numbers only; do it in the program.",
            )
        around = {_BARE: f'"{variable}"', _SINGLE: f"'\"{variable}\"'", _ANSI: f"'\"{variable}\"$'"}
        self._written.append(around.get(mode, variable))

    def _named(self, whole: str, name: str) -> tuple[str, str | None]:
        """Its key, and the value."""
        values = self._script.values
        if found := _NAMED.fullmatch(name):
            key = found[2] if found[1] == "inputs" else _output(found[2])
            if key in values:
                return key, values[key]
        known = [key if key.startswith("outputs.") else f"inputs.{key}" for key in values]
        near = next(iter(difflib.get_close_matches(name, known, n=1)), "")
        raise SpecError(
            f"the command refers to {whole}, which the component does not have"
            + (f"; did you mean ${{{{{near}}}}}?" if near else ""),
            mend=f"It has: {', '.join(known) or 'neither inputs nor outputs'}.",
        )

    def _begin_part(self) -> None:
        self._frames.append(_Frame(self._top.mode, "]]", part=(len(self._written), self._at)))
        self._at += 3
        if self._top.mode == _BARE:
            self._written.append(" ")

    def _end_part(self) -> None:
        top = self._top
        if top.depth:
            top.depth -= 1
            return self._take(2)
        assert top.part
        if top.lacks:
            del self._written[top.part[0] :]
            self._documents = [one for one in self._documents if one.at < top.part[0]]
        self._frames.pop()
        self._at += 2
        if top.mode == _BARE:
            self._written.append(" ")
        return None

    def _announce_document(self, found: re.Match[str]) -> None:
        literal = any(mark in found[2] for mark in "\\'\"")
        delimiter = re.sub(r"\\(.)|['\"]", lambda m: m[1] or "", found[2])
        self._documents.append(_Document(delimiter, literal, bool(found[1]), len(self._written)))
        self._written.append("")  # until its text is known, and so a delimiter that it does not have
        self._at = found.end()

    def _read_documents(self) -> None:
        """The texts of the here-documents of this line."""
        for document in self._documents:
            begin = end = self._at
            while self._at < len(self._text):
                line, mark, _ = self._text[self._at :].partition("\n")
                self._at += len(line + mark)
                if (line.lstrip("\t") if document.tabs else line) == document.delimiter:
                    break
                end = self._at
            name = self._script.document(self._text[begin:end])
            body = self._script.read(self._text[begin:end], _PLAIN_DOCUMENT if document.literal else _DOCUMENT)
            self._written[document.at] = f"<<{'-' * document.tabs}{name}"
            self._written.append(f"{body}{chr(10) * (bool(body) and body[-1:] != chr(10))}{name}\n")
        self._documents = []

    def _wrong(self, what: str) -> SpecError:
        return SpecError(what, mend="See the page on pipelines for what a command may hold.")
