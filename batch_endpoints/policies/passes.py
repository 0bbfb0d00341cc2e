"""Passes: short texts signed with the server's token that let a browser see the documentation for a while.

A browser sends no token by itself. Who can read the token makes a link; the server opens it once and gives the
browser a session. Neither is worth anything anywhere but at the documentation.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Literal

Kind = Literal["link", "session"]
LINK_SECONDS = 3600
SESSION_SECONDS = 12 * 3600
_PASS = re.compile(r"(\d{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII)


def issue_pass(token: str, kind: Kind, *, expires: int, nonce: str) -> str:
    """A new pass.

    Args:
        token: the server's.
        kind: what it is good for; a link is no session.
        expires: seconds since the epoch.
        nonce: 32 hexadecimal digits, never used before.
    """
    return f"{expires}.{nonce}.{_signature(token, kind, expires, nonce)}"


def pass_nonce(token: str, kind: Kind, text: str, *, now: float) -> str:
    """The nonce of a pass; "" where it was not issued with this token, or has expired."""
    found = _PASS.fullmatch(text)
    if not found:
        return ""
    expires, nonce, signature = int(found[1]), found[2], found[3]
    genuine = hmac.compare_digest(signature, _signature(token, kind, expires, nonce))
    return nonce if genuine and now < expires else ""


def _signature(token: str, kind: Kind, expires: int, nonce: str) -> str:
    return hmac.new(token.encode(), f"{kind}.{expires}.{nonce}".encode(), hashlib.sha256).hexdigest()
