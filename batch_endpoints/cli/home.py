"""The home folder: entered by its owner alone, with the tokens that open the server and its Ray."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from batch_endpoints.errors import Refused


def open_home(home: Path, say: Callable[[str], None]) -> None:
    """Make the home where it is missing, and close it to other users.

    Args:
        say: reports a home that stood open.

    Raises:
        Refused: it belongs to another user, or cannot be closed.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = home.stat()
    if found.st_uid != os.geteuid():
        raise Refused(
            f"the home {home} belongs to another user",
            mend="Name a folder of your own with BATCH_ENDPOINTS_HOME: whoever owns the home can act as the server.",
        )
    if not found.st_mode & 0o077:
        return
    try:
        home.chmod(0o700)
    except OSError as error:
        raise Refused(
            f"other users can enter the home {home}, and it cannot be closed to them: {error.strerror}",
            mend="Run `chmod 700` on it, or name another folder with BATCH_ENDPOINTS_HOME.",
        ) from None
    if home.stat().st_mode & 0o077:
        raise Refused(
            f"other users can enter the home {home}, and its file system keeps no permissions",
            mend="Name a folder on another file system with BATCH_ENDPOINTS_HOME.",
        )
    say(f"Closed {home} to other users, who could enter it (its mode was {stat.S_IMODE(found.st_mode):04o})")


def make_token(file: Path) -> None:
    """Make a file that holds a new token; one that its owner alone can read stays as it is."""
    try:
        found = file.lstat()
        if (
            stat.S_ISREG(found.st_mode)
            and not found.st_mode & 0o077
            and found.st_uid == os.geteuid()
            and found.st_size
        ):
            return
    except FileNotFoundError:
        pass
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as writing:
        writing.write(secrets.token_urlsafe(32) + "\n")
    aside.replace(file)
