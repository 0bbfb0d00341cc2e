"""A matcher that backtracks as Python's does and counts its steps, for the part of regexes that the package uses."""

from __future__ import annotations

import re
from functools import lru_cache

try:
    from re import _constants as codes
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_constants as codes
    import sre_parse as parser

ENDLESS = 500_000
_CATEGORIES = {
    codes.CATEGORY_DIGIT: str.isdigit,
    codes.CATEGORY_NOT_DIGIT: lambda c: not c.isdigit(),
    codes.CATEGORY_SPACE: str.isspace,
    codes.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    codes.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    codes.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}


def steps(pattern: str, flags: int, method: str, text: str) -> int:
    """How many characters are looked at by ``re.compile(pattern, flags).<method>(text)``."""
    parsed = _parsed(pattern, flags)
    run, tree = _Run(text, flags | parsed.state.flags), list(parsed)
    begins = range(len(text) + 1) if method not in ("match", "fullmatch") else [0]
    at = 0
    for begin in begins:
        if begin < at:
            continue
        end = run.first(tree, begin, whole=method == "fullmatch")
        if end is not None:
            if method not in ("sub", "split", "findall", "finditer"):
                break
            at = max(end, begin + 1)
    return run.count


@lru_cache
def _parsed(pattern, flags):
    return parser.parse(pattern, flags)


class _Run:
    def __init__(self, text, flags):
        self.text, self.flags, self.count = text, flags, 0

    def first(self, tree, at, whole):
        return next((end for end in self.ends(tree, 0, at) if not whole or end == len(self.text)), None)

    def ends(self, tree, index, at):
        """Each place where the rest of the tree can end, in the order in which they are tried."""
        if index == len(tree):
            yield at
            return
        code, value = tree[index]
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, getattr(codes, "POSSESSIVE_REPEAT", None)):
            least, most, inner = value
            yield from self.repeated(code, least, most, list(inner), tree, index, at)
            return
        for end in self.one(code, value, at):
            yield from self.ends(tree, index + 1, end)

    def repeated(self, code, least, most, inner, tree, index, at):
        places = [at]  # of a repeat whose parts have one length each, which ours have but for the last of them
        stack = [iter(self.ends(inner, 0, at))]
        if code is codes.MIN_REPEAT:
            while True:
                if len(places) - 1 >= least:
                    yield from self.ends(tree, index + 1, places[-1])
                following = None if len(places) - 1 >= most else next(iter(self.ends(inner, 0, places[-1])), None)
                if following is None or following == places[-1]:
                    return
                places.append(following)
        while stack:
            end = next(stack[-1], None) if len(places) - 1 < most else None
            if end is not None and end != places[-1]:
                places.append(end)
                stack.append(iter(self.ends(inner, 0, end)))
                continue
            if len(places) - 1 >= least:
                yield from self.ends(tree, index + 1, places[-1])
            stack.pop()
            places.pop()

    def one(self, code, value, at):
        self.count += 1
        if self.count > ENDLESS:
            raise OverflowError("too many steps")
        here = self.text[at] if at < len(self.text) else None
        if code is codes.SUBPATTERN:
            yield from self.ends(list(value[3]), 0, at)
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from self.ends(list(branch), 0, at)
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            direction, inner = value
            if direction < 0:  # ours look at one character
                found = at > 0 and next(iter(self.ends(list(inner), 0, at - 1)), None) == at
            else:
                found = next(iter(self.ends(list(inner), 0, at)), None) is not None
            if found == (code is codes.ASSERT):
                yield at
        elif code is codes.AT:
            if self.is_at(value, at):
                yield at
        elif here is not None and self.fits(code, value, here):
            yield at + 1

    def is_at(self, value, at):
        text = self.text
        lines = self.flags & re.MULTILINE
        if value in (codes.AT_BEGINNING, codes.AT_BEGINNING_STRING):
            return at == 0 or bool(lines and value is codes.AT_BEGINNING and text[at - 1] == "\n")
        if value in (codes.AT_END, codes.AT_END_STRING):
            return at == len(text) or (value is codes.AT_END and text[at] == "\n" and (lines or at == len(text) - 1))
        word = [0 <= i < len(text) and (text[i].isalnum() or text[i] == "_") for i in (at - 1, at)]
        return (word[0] != word[1]) == (value is codes.AT_BOUNDARY)

    def fits(self, code, value, here):
        if self.flags & re.IGNORECASE:
            return self._fits(code, value, here.lower()) or self._fits(code, value, here.upper())
        return self._fits(code, value, here)

    def _fits(self, code, value, here):
        if code is codes.ANY:
            return here != "\n" or bool(self.flags & re.DOTALL)
        if code is codes.LITERAL:
            return ord(here) == value
        if code is codes.NOT_LITERAL:
            return ord(here) != value
        if code is codes.IN:
            negated = value[0][0] is codes.NEGATE
            return negated != any(self._fits(*each, here) for each in value[negated:])
        if code is codes.RANGE:
            return value[0] <= ord(here) <= value[1]
        if code is codes.CATEGORY:
            return _CATEGORIES[value](here)
        raise NotImplementedError(f"{code} is not counted yet")
