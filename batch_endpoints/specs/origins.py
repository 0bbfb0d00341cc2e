"""Where the keys of a document were given, for errors: a line of a file, or a flag of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Location = tuple[str | int, ...]
"""A key of nested mappings and lists: ``("settings", "mini_batch_size")``."""


@dataclass(frozen=True)
class Origins:
    """Where each key of one document was given.

    Args:
        where: the file's name; "" where the document came from elsewhere.
        keys: ``deployment.yml:4`` or ``--set``, by key.
    """

    where: str = ""
    keys: Mapping[Location, str] = field(default_factory=dict)

    def of(self, key: Location) -> str:
        """Where a key was given, or the nearest one around it; "" where nobody knows."""
        for length in range(len(key), 0, -1):
            if origin := self.keys.get(key[:length]):
                return origin
        return self.where

    def changed(self, flags: Mapping[str, str]) -> Origins:
        """The origins after flags have replaced some of the document's keys.

        Args:
            flags: the name of the flag, by dotted key.
        """
        replaced: dict[Location, str] = {tuple(dotted.split(".")): flag for dotted, flag in flags.items()}
        kept = {
            key: origin
            for key, origin in self.keys.items()
            if not any(key[:length] in replaced for length in range(len(key) + 1))
        }
        return Origins(self.where, kept | replaced)
