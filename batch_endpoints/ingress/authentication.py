"""Who may enter: every route but two demands the server's token, before anything is routed."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from batch_endpoints.errors import NotAuthenticated
from batch_endpoints.ingress.azure.doors import AzureDoors
from batch_endpoints.ingress.errors import error_response
from batch_endpoints.policies.passes import LINK_SECONDS, SESSION_SECONDS, issue_pass, pass_nonce

FREE = frozenset({"/", "/healthz"})
"""What anybody may ask: which server this is, and whether it lives."""
DOCUMENTATION = ("/docs", "/docs/", "/redoc", "/openapi.json", "/static-offline-docs/")
"""What a browser may see that was let in by a link: nothing that a job or a record is in."""
LINK = "link"
COOKIE = "batch-endpoints-docs"
_WHERE = (
    "Send `Authorization: Bearer <token>`. `batch-endpoints token` prints it on the server's machine (it is the file "
    "`token` in the server's home); elsewhere the command line and the SDK take BATCH_ENDPOINTS_TOKEN, or the file "
    "that BATCH_ENDPOINTS_TOKEN_FILE names."
)
_BROWSER = "`batch-endpoints status` prints a link that opens the documentation in a browser, once."


class Authentication:
    """Lets requests pass that carry the token; the others are answered 401."""

    def __init__(
        self, app: ASGIApp, token: str, azure: AzureDoors | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Args:
        app: what stands behind.
        token: the server's.
        azure: what clients of Azure's may ask otherwise.
        clock: seconds since the epoch.

        Raises:
            ValueError: the token is empty, so that anybody would have it.
        """
        if not token:
            raise ValueError("a server needs a token")
        self._app, self._token, self._azure, self._clock = app, token, azure, clock
        self._used: dict[str, float] = {}  # nonces of links, until they expire anyway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._answer_instead(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _answer_instead(self, scope: Scope) -> Response | None:
        path = _path(scope)
        if path in FREE and scope["type"] == "http":
            return None
        headers = Headers(scope=scope)
        given = headers.getlist("authorization")
        if self._azure and scope["type"] == "http" and self._azure.is_open(path):
            return self._azure.refusal(scope, path)
        if len(given) == 1 and (self._is_token(given[0]) or self._is_of_azures_client(given[0], scope)):
            return None
        reading = scope.get("method") in ("GET", "HEAD") and _is_documentation(path)
        if reading and not given:
            if link := parse_qs(scope["query_string"].decode("latin-1")).get(LINK):
                return self._open(link[0], path, scope)
            cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
            if pass_nonce(self._token, "session", cookie, now=self._clock()):
                return None
        what = "the token of this request is not this server's" if given else "this request has no token"
        return _unauthorized(what, f"{_BROWSER} {_WHERE}" if reading else _WHERE)

    def _is_token(self, authorization: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        # as bytes: compare_digest takes text in ASCII only
        same = hmac.compare_digest(value.strip().encode("latin-1"), self._token.encode())
        return scheme.lower() == "bearer" and same

    def _is_of_azures_client(self, authorization: str, scope: Scope) -> bool:
        """Is it a token that the token route gave, for this server as the client calls it?"""
        scheme, _, value = authorization.partition(" ")
        if self._azure is None or scheme.lower() != "bearer" or scope["type"] != "http":
            return False
        base = str(Request(scope).base_url).rstrip("/")
        return bool(self._azure.principal(value.strip(), base))

    def _open(self, link: str, path: str, scope: Scope) -> Response:
        now = self._clock()
        self._used = {nonce: until for nonce, until in self._used.items() if until > now}
        nonce = pass_nonce(self._token, "link", link, now=now)
        if not nonce or nonce in self._used:
            return _unauthorized("this link was used before, or it has expired", _BROWSER)
        self._used[nonce] = now + LINK_SECONDS
        answer = RedirectResponse(scope.get("root_path", "") + path, status_code=303)
        session = issue_pass(self._token, "session", expires=int(now) + SESSION_SECONDS, nonce=secrets.token_hex(16))
        answer.set_cookie(
            COOKIE,
            session,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="lax",
            secure=scope.get("scheme") == "https",
        )
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer


def _path(scope: Scope) -> str:
    """The path as the routes see it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def _is_documentation(path: str) -> bool:
    return any(path.startswith(known) if known.endswith("/") else path == known for known in DOCUMENTATION)


def _unauthorized(what: str, mend: str) -> Response:
    error = NotAuthenticated(what, mend=mend)
    return error_response(401, error.code, str(error), headers={"WWW-Authenticate": "Bearer"})
