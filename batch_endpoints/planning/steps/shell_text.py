"""How a shell reads a command: what is quoted where, so that a placeholder can be put there as a variable.

What it cannot know for sure, as it knows no aliases, costs at worst the borders of words: a value is never parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from batch_endpoints.errors import SpecError

_PLACEHOLDER = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
_HEREDOC = re.compile(r"<<(-?)[ \t]*((?:[^\s\\'\"<>|&;()]|\\.|'[^']*'|\"[^\"]*\")+)")
_COMMAND_BEFORE = re.compile(r"(?:^|[;&|(\n{`]|\b(?:do|then|else|in)\b)[ \t]*$")  # of a word that is a command's
_WORD_BEFORE = " \t\n;&|()<>`"  # what a comment may follow

# how the shell reads the text at a place
BARE, _DOUBLE, _SINGLE, _ANSI, ARITHMETIC, _DOCUMENT, _PLAIN_DOCUMENT = range(7)


Refer = Callable[[str, str, bool], str | None]
"""Placeholder, the name in it, and whether the shell computes with it -> the variable; None where it has no value."""


def read_command(text: str, refer: Refer) -> str:
    """The command with variables in the place of its placeholders.

    Args:
        refer: called for each placeholder.

    Raises:
        SpecError: a placeholder or a part ``$[[ … ]]`` is not closed, or one without a value is in no such part.
    """
    return _Reader(_Documents(refer), text, BARE).read()


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
class _Documents:
    """What is common to a command and the here-documents in it."""

    refer: Refer
    count: int = 0

    def read(self, text: str, mode: int) -> str:
        return _Reader(self, text, mode).read()

    def delimiter(self, body: str) -> str:
        """One that no line of a here-document is."""
        lines = {line.strip("\t") for line in body.split("\n")}
        while (name := f"DOCUMENT_{self.count}") in lines:
            self.count += 1
        self.count += 1
        return name


class _Reader:
    """Reads one text from its begin to its end, and writes what the shell is to read."""

    def __init__(self, script: _Documents, text: str, mode: int) -> None:
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
            (self._bare if mode == BARE else self._quoted)()

    def _expansion(self) -> bool:
        """What begins with ``$`` or a backtick, in double quotes as outside of them."""
        if self._next_is("$(("):
            self._open(3, ARITHMETIC, "))")
        elif self._next_is("$("):
            self._open(2, BARE, ")")
        elif self._next_is("${"):
            self._open(2, BARE if self._top.mode == BARE else _DOUBLE, "}")
        elif self._next_is("`"):
            if any(frame.end == "`" for frame in self._frames):  # within backticks others have a backslash
                if self._find_end() != "`":
                    self._take(1)
                else:
                    self._close()
            else:
                self._open(1, BARE, "`")
        else:
            return False
        return True

    def _find_end(self) -> str:
        return self._frames[-2].end if self._top.part and len(self._frames) > 1 else self._top.end

    def _quoted(self) -> None:
        """In double quotes, arithmetic or a here-document."""
        top = self._top
        if top.mode == ARITHMETIC:
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
            return self._open(2, ARITHMETIC, "))")
        if self._next_is("("):
            return self._open(1, BARE, ")")
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
        mode = self._top.mode
        name = self._script.refer(found[0], found[1], mode == ARITHMETIC)
        self._at = found.end()
        if name is None:
            part = next((frame for frame in reversed(self._frames) if frame.part), None)
            if not part:
                raise SpecError(
                    f"the command refers to {found[0]}, which is optional and has no value",
                    mend=f"Put what depends on it into an optional part: $[[ … {found[0]} ]], or give it a default.",
                )
            part.lacks = True
            return
        variable = f"${{{name}}}"
        around = {BARE: f'"{variable}"', _SINGLE: f"'\"{variable}\"'", _ANSI: f"'\"{variable}\"$'"}
        self._written.append(around.get(mode, variable))

    def _begin_part(self) -> None:
        self._frames.append(_Frame(self._top.mode, "]]", part=(len(self._written), self._at)))
        self._at += 3
        if self._top.mode == BARE:
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
        if top.mode == BARE:
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
            name = self._script.delimiter(self._text[begin:end])
            body = self._script.read(self._text[begin:end], _PLAIN_DOCUMENT if document.literal else _DOCUMENT)
            self._written[document.at] = f"<<{'-' * document.tabs}{name}"
            self._written.append(f"{body}{chr(10) * (bool(body) and body[-1:] != chr(10))}{name}\n")
        self._documents = []

    def _wrong(self, what: str) -> SpecError:
        return SpecError(what, mend="See the page on pipelines for what a command may hold.")
