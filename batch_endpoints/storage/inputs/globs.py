"""Patterns in inputs: ``data/*.csv``, ``data/**/x-?.png``, ``s3://bucket/a/[0-9]*.parquet``.

``*`` and ``?`` stay within one name, ``[…]`` is one character, ``**`` is any number of folders. As in a shell, names
that begin with a dot are matched by a pattern that begins with one only.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

_WILD = re.compile(r"[*?\[]")
_QUERY = re.compile(r"\?[\w.-]+=.*$", re.DOTALL)  # of a URI: ``?region=eu``; any other ``?`` is a wildcard


@dataclass(frozen=True)
class Pattern:
    """Which paths below a root are meant.

    Args:
        names: the pattern's components.
    """

    names: tuple[str, ...]

    @cached_property
    def _regexes(self) -> Sequence[re.Pattern[str]]:
        return [re.compile(("" if n.startswith(".") else r"(?!\.)") + fnmatch.translate(n)) for n in self.names]

    @property
    def one_level(self) -> bool:
        """Are all matches directly in the root?"""
        return len(self.names) == 1 and self.names[0] != "**"

    def matches(self, path: str) -> bool:
        """Is this file meant? ``path`` is relative to the root, with forward slashes."""
        return self._match(path.split("/"), whole=True)

    def may_hold_matches(self, folder: str) -> bool:
        """Can there be files below this folder that are meant?"""
        return self._match(folder.split("/"), whole=False)

    def _match(self, parts: Sequence[str], *, whole: bool) -> bool:
        here = self._skipping({0})  # how much of the pattern may be used up
        for part in parts:
            stay = {at for at in here if at < len(self.names) and self.names[at] == "**" and not part.startswith(".")}
            step = {
                at + 1
                for at in here
                if at < len(self.names) and self.names[at] != "**" and self._regexes[at].match(part)
            }
            here = self._skipping(stay | step)
        if whole:  # a final ** stands for the files in its folders as well
            return len(self.names) in here
        return any(at < len(self.names) for at in here)

    def _skipping(self, places: set[int]) -> set[int]:
        """``**`` may also stand for no folder."""
        ahead = set(places)
        for at in sorted(places):
            while at < len(self.names) and self.names[at] == "**":
                at += 1
                ahead.add(at)
        return ahead


def split_pattern(path: str) -> tuple[str, Pattern] | None:
    """The root and the pattern below it; None where there is no wildcard.

    Args:
        path: a local path, or a URI; its query stays with the root.
    """
    query = ""
    if "://" in path and (found := _QUERY.search(path)):
        path, query = path[: found.start()], found[0]
    parts = path.split("/")
    fixed = 3 if "://" in path else 0  # scheme, nothing, bucket
    for index, part in enumerate(parts):
        if index >= fixed and _WILD.search(part):
            root = "/".join(parts[:index]) or ("/" if index else ".")
            return root + query, Pattern(tuple(name for name in parts[index:] if name))
    return None
