"""What no request may be, whoever sends it: for another server, from a foreign web page, or of a form unheard of."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from batch_endpoints.errors import BatchEndpointError, Refused, SpecError
from batch_endpoints.ingress.errors import error_response

_SAFE = ("GET", "HEAD", "OPTIONS")
_RAW = "/uploads/blobs/"  # bodies below are files
_AZURE_BLOBS = "/blob/"  # bodies are files and lists of blocks, and only an address that was signed leads here
_JSON = re.compile(r"application/(?:[\w.+-]*\+)?json\s*(?:;.*)?", re.ASCII | re.IGNORECASE)
_BYTES = re.compile(r"application/octet-stream\s*(?:;.*)?|", re.ASCII | re.IGNORECASE)


class RequestChecks:
    """Refuses requests that a browser was made to send, or that name another server."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str] = ()) -> None:
        """Args:
        app: what stands behind.
        allowed_hosts: names that clients may call the server by, without port; empty allows any.
        """
        self._app = app
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return _refused(400, SpecError(f"the request has {len(hosts)} headers 'host' instead of one"))
        host = hosts[0]
        name = re.sub(r":\d*$", "", host).strip("[]").lower()
        if self._allowed_hosts and name not in self._allowed_hosts:
            known = " or ".join(sorted(self._allowed_hosts))
            return _refused(403, Refused(f"this server is not called '{host}'", mend=f"Call it {known}."))
        if scope["method"] in _SAFE:
            return None
        if _is_foreign(headers, host):
            return _refused(
                403,
                Refused("a web page of another origin may not change anything here", mend="Send it from a program."),
            )
        return _wrong_content(scope["path"], headers)


def _is_foreign(headers: Headers, host: str) -> bool:
    """Does a browser say that a page of another origin sent this? Programs send neither header."""
    if any(site not in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")):
        return True
    return any(
        urlsplit(origin).scheme not in ("http", "https") or urlsplit(origin).netloc.lower() != host.lower()
        for origin in headers.getlist("origin")
    )


def _wrong_content(path: str, headers: Headers) -> Response | None:
    kinds = headers.getlist("content-type")
    kind = kinds[0] if kinds else ""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return None
    if path.lower().startswith(_AZURE_BLOBS):
        return None
    if _RAW in path:
        expected, form = "application/octet-stream", _BYTES
    else:
        expected, form = "application/json", _JSON
    if len(kinds) <= 1 and form.fullmatch(kind):
        return None
    sent = f"says '{kind}'" if len(kinds) == 1 else "is missing" if not kinds else f"stands {len(kinds)} times"
    what = "the body is not taken as JSON" if form is _JSON else "the body is not taken as a file"
    return _refused(400, SpecError(f"{what}: the header content-type {sent}", mend=f"Send content-type: {expected}."))


def _refused(status: int, error: BatchEndpointError) -> Response:
    return error_response(status, error.code, str(error))
