"""Where a client finds the token of the server that it talks to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from batch_endpoints.errors import NotAuthenticated
from batch_endpoints.settings import Settings

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANY = ("0.0.0.0", "::")  # a server that listens on these is called by them, or by any name of its machine


def find_token(url: str, settings: Settings, here: Mapping[str, Any]) -> str:
    """The token to send; "" where there is none.

    That of the server that ``up`` started with this home is sent to that one alone; every other server gets what the
    environment names.

    Args:
        url: the server that is talked to.
        settings: what the environment says.
        here: content of ``server.json`` in the home; empty where no server was started there.
    """
    token = ""
    if _is_here(url, here):
        token = _content(settings.token_at_home)
    if not token:
        token = settings.token
    if not token and settings.token_file:
        token = _content(settings.token_file)
    return token


def authority_of(url: str, settings: Settings, here: Mapping[str, Any]) -> str | None:
    """The file with the authority to trust: that of the home for the server that ``up --tls`` started with it.

    None trusts the usual ones, or those that REQUESTS_CA_BUNDLE names.
    """
    own = url.startswith("https:") and _is_here(url, here) and settings.authority_at_home.exists()
    return str(settings.authority_at_home) if own else None


def not_authenticated(url: str, settings: Settings, here: Mapping[str, Any], *, sent: bool) -> NotAuthenticated:
    """The error for a request that was answered 401, with every place where a token was looked for.

    Args:
        url: the server that answered.
        settings: what the environment says.
        here: as of :func:`find_token`.
        sent: was a token found and sent?
    """
    home, file = settings.token_at_home, settings.token_file
    if not _is_here(url, here):
        of_home = f"{home} (not used: it is for the server that `up` starts with this home)"
    else:
        of_home = f"{home} ({_state(home)})"
    places = [
        of_home,
        f"BATCH_ENDPOINTS_TOKEN ({'set' if settings.token else 'not set'})",
        f"BATCH_ENDPOINTS_TOKEN_FILE ({f'{file}: {_state(file)}' if file else 'not set'})",
    ]
    what = f"the server at {url} does not know this token" if sent else f"the server at {url} wants a token"
    return NotAuthenticated(
        what,
        mend=f"Looked for one in: {'; '.join(places)}.\n`batch-endpoints token` prints it on the server's machine.",
    )


def _is_here(url: str, here: Mapping[str, Any]) -> bool:
    """Is this the server that was started with this home?"""
    given, started = urlsplit(url), urlsplit(str(here.get("url", "")))
    names = {given.hostname, started.hostname}
    same_name = given.hostname == started.hostname or names <= {*_LOOPBACK, *_ANY}
    return bool(started.hostname) and same_name and (given.scheme, given.port) == (started.scheme, started.port)


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _state(file: Path) -> str:
    try:
        return "read" if file.read_text(encoding="utf-8").strip() else "empty"
    except OSError as error:
        return (error.strerror or "cannot be read").lower()
    except ValueError:
        return "not text"
