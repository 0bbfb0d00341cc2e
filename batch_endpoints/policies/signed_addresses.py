"""Addresses that open one thing for an hour: signed with the server's token, in the form of Azure's SAS.

A client of Azure's blob storage sends no token, but repeats the query of the address that it was given. The
signature covers all that the address opens, so that none of it can be exchanged for more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal
from urllib.parse import urlencode

Right = Literal["read", "list", "write"]
SECONDS = 3600
_LETTERS: dict[Right, str] = {"read": "r", "write": "w", "list": "l"}
_PREFIX, _PRINCIPAL = "si", "saoid"  # of the names that a client sends on; it drops those it does not know
_VERSION = "2024-05-04"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Grant:
    """What an address opens.

    Args:
        container: the only one.
        rights: for what is in it.
        principal: who it was given to.
        prefix: how the paths begin that it opens; "" opens all.
    """

    container: str
    rights: tuple[Right, ...]
    principal: str
    prefix: str = ""

    def opens(self, container: str, path: str, right: Right) -> bool:
        return container == self.container and path.startswith(self.prefix) and right in self.rights


def signed_query(secret: str, grant: Grant, now: datetime) -> str:
    """The query of an address that opens this for an hour, without a question mark."""
    letters = "".join(letter for right, letter in _LETTERS.items() if right in grant.rights)
    fields = {
        "sv": _VERSION,
        "sr": "c",
        "sp": letters,
        "se": (now + timedelta(seconds=SECONDS)).strftime(_TIME),
        _PREFIX: grant.prefix,
        _PRINCIPAL: grant.principal,
    }
    fields = {name: value for name, value in fields.items() if value}
    return urlencode({**fields, "sig": _signature(secret, grant.container, fields)})


def granted(secret: str, container: str, query: Mapping[str, str], now: datetime) -> Grant | None:
    """What a signed query opens in this container; None where it was not signed for it, or has expired."""
    fields = {name: query[name] for name in ("sv", "sr", "sp", "se", _PREFIX, _PRINCIPAL) if query.get(name)}
    signature = query.get("sig", "").encode(errors="replace")
    if not hmac.compare_digest(signature, _signature(secret, container, fields).encode()):
        return None
    expires = datetime.strptime(fields["se"], _TIME).replace(tzinfo=timezone.utc)
    if now >= expires:
        return None
    rights = tuple(right for right, letter in _LETTERS.items() if letter in fields["sp"])
    return Grant(container, rights, fields[_PRINCIPAL], fields.get(_PREFIX, ""))


def _signature(secret: str, container: str, fields: Mapping[str, str]) -> str:
    text = json.dumps(["address", container, sorted(fields.items())])
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
