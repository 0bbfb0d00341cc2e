"""The folder that a script writes files to (AZUREML_BI_OUTPUT_PATH): what a failed try has left there goes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


class ScriptOutput:
    """One worker's folder, which one host after another writes to.

    Args:
        named: folders in it that are always there: a parallel step's outputs.
    """

    def __init__(self, folder: Path, named: Collection[str] = ()) -> None:
        self._folder, self._named = folder, frozenset(named)
        self._before_try: set[str] = set()
        self._of_init: set[Path] = set()
        self._known_empty = False
        self.empty()

    def empty(self) -> None:
        """Make it as the first host has found it; what ``init()`` wrote was the lost host's, and its successor's
        ``init()`` writes it again."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._make_named()
        self._before_try, self._of_init = set(), set()

    def is_empty(self) -> bool:
        """Is there nothing in it, or has a script removed it? The next try need not look again."""
        folders = [self._folder / name for name in self._named]
        self._known_empty = self._named.issuperset(_names(self._folder)) and not any(map(_names, folders))
        return self._known_empty

    def init_done(self) -> None:
        """What is there now was made by ``init()``."""
        self._of_init, self._known_empty = {Path(path) for path in self._entries()}, False

    def begin_try(self) -> None:
        """What is there now stays, whatever becomes of the try: files of ``init()``, and folders that are left."""
        self._make_named()
        there = {os.path.join(self._folder, name) for name in self._named}
        self._before_try = there if self._known_empty else self._entries()
        self._known_empty = False

    def undo_try(self) -> None:
        """Remove what the try has made, folders too: another try may want to make them."""
        for path in sorted(self._entries() - self._before_try, reverse=True):  # what is in a folder comes before it
            with suppress(OSError):  # the script has removed it, or writes on in a thread of its own
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rmdir(path)
                else:
                    os.unlink(path)

    def take_of_init(self) -> set[Path]:
        """What ``init()`` has made since this was asked last."""
        taken, self._of_init = self._of_init, set()
        return taken

    def _make_named(self) -> None:
        """Make them, also where a script has removed one."""
        for name in self._named:
            (self._folder / name).mkdir(exist_ok=True)

    def _entries(self) -> set[str]:
        walked = os.walk(self._folder)
        return {os.path.join(at, name) for at, folders, names in walked for name in (*folders, *names)}


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
