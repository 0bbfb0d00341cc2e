"""What Azure's clients may ask without the server's token, exactly.

* ``/metadata/endpoints`` and ``/discovery/…``: constants without names.
* the token route, with the secret that ``batch-endpoints azure env`` prints.
* blobs and logs, with an address that was signed for them.

Everything else asks for a token: the server's own, or one that the token route gave.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from datetime import datetime, timezone
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric import ec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from batch_endpoints.ingress.azure.blob_answers import blob_error
from batch_endpoints.ingress.azure.tokens import Issuer
from batch_endpoints.ingress.errors import error_response
from batch_endpoints.policies.azure_client import METADATA, ML_AUDIENCE, TOKEN, identity_secret
from batch_endpoints.policies.signed_addresses import Grant, Right, granted, signed_query

DISCOVERY, LOGS = "/discovery/", "/azure-logs/"
_BLOBS = re.compile(r"/blob/([^/]+)\.blob\.local/([^/]+)(?:/(.*))?", re.IGNORECASE | re.DOTALL)
_LOG = re.compile(rf"{LOGS}([^/]+)/(.+)", re.IGNORECASE | re.DOTALL)
OWNER = "owner"
"""The one principal that a server knows so far: whoever has its token."""


class AzureDoors:
    """Knows what is open, and signs what shall be."""

    def __init__(self, token: str, key: ec.EllipticCurvePrivateKey, clock: Callable[[], float]) -> None:
        """Args:
        token: the server's; signatures are made with it.
        key: signs the tokens of Azure's clients.
        clock: seconds since the epoch.
        """
        self._token, self._clock = token, clock
        self.issuer = Issuer(key, clock)

    def is_open(self, path: str) -> bool:
        """Is this asked for without a bearer token? Then ``refusal`` decides."""
        folded = path.lower()
        return folded in (METADATA, TOKEN) or folded.startswith((DISCOVERY, "/blob/", LOGS))

    def refusal(self, scope: Scope, path: str) -> Response | None:
        """The answer to a request for what is open that lacks its secret or signature; None lets it in."""
        if path.lower() == TOKEN:
            return self._without_secret(scope)
        if path.lower() == METADATA or path.lower().startswith(DISCOVERY):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        right: Right = "read"
        if found := _LOG.fullmatch(path):
            container, below = f"logs/{found[1]}", found[2]
        elif found := _BLOBS.fullmatch(path):
            container, below, right = f"{found[1].lower()}/{found[2]}", found[3] or "", _right(scope, query)
        else:
            return blob_error(403, "AuthenticationFailed", "there is no container at this address")
        grant = granted(self._token, container, query, self._now())
        if grant is None:
            return blob_error(403, "AuthenticationFailed", "this address was not signed for it, or has expired")
        begin = query.get("prefix", "") if right == "list" else below
        if not grant.opens(container, begin, right):
            return blob_error(403, "AuthorizationPermissionMismatch", f"this address is not signed to {right} this")
        return None

    def principal(self, token: str, base: str) -> str:
        """Who a bearer token of our own issuer stands for; "" for any other.

        Args:
            base: the server as this client calls it.
        """
        return self.issuer.principal(token, (base, ML_AUDIENCE))

    def audiences(self, base: str) -> tuple[str, ...]:
        """What tokens are made for: the resource manager, and the workspace's data plane."""
        return base, ML_AUDIENCE

    def sign(self, container: str, rights: tuple[Right, ...], prefix: str = "") -> str:
        """The query of an address that opens a container, or what is below a prefix of it, for an hour."""
        return signed_query(self._token, Grant(container, rights, OWNER, prefix), self._now())

    def _without_secret(self, scope: Scope) -> Response | None:
        given = Headers(scope=scope).getlist("x-identity-header")
        secret = identity_secret(self._token).encode()
        if len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), secret):
            return None
        what = "the token route asks for the secret in the header X-IDENTITY-HEADER\n"
        return error_response(401, "Unauthenticated", what + "`batch-endpoints azure env` prints it.")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), timezone.utc)


def _right(scope: Scope, query: dict[str, str]) -> Right:
    if scope["method"] in ("GET", "HEAD"):
        return "list" if query.get("comp") == "list" else "read"
    return "write"
