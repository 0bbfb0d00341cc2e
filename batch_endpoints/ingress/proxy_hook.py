"""What Serve's HTTP proxy does for us before it hands a request on: it gives up connections that stall.

Serve calls :func:`middlewares` in the proxy where RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it: an undocumented
hook, and tests/acceptance/test_stalled_connections.py notices when Ray changes it. The proxy itself cuts nothing, and
each request that it has handed on takes a place in the server until its body is there.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batch_endpoints.ingress.errors import error_response

STALL_SECONDS = 30.0  # without a byte of a body, or for the whole of a request's head
READ_AHEAD_BYTES = 1 << 16
"""So much of a body has to be there before the request takes a place in the server; 500 of them are 32 MB."""
_CLOSED = "/-/routes"  # Serve's own list of applications
_STRIPPED = (b"x-request-timeout-seconds", b"x-request-disconnect-disabled")
"""Hints for Serve: a client could switch off what ends its requests."""


def middlewares() -> list[Middleware]:
    """Prepare the proxy that this is called in; Serve puts these around all that it answers."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    cut_stalled_heads(H11Protocol, STALL_SECONDS)
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:  # then uvicorn does without
        pass
    else:
        cut_stalled_heads(HttpToolsProtocol, STALL_SECONDS)
    return [Middleware(StalledBodies, seconds=STALL_SECONDS), Middleware(ServeDoors)]


class ServeDoors:
    """Closes what Serve answers by itself, and keeps its hints from clients."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"].rstrip("/") == _CLOSED:
                await error_response(404, "NotFound", f"there is nothing at {_CLOSED}")(scope, receive, send)
                return
            headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _STRIPPED]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


class StalledBodies:
    """Answers 408 where nothing of a body has come for a while."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._seconds)
        answered = False

        async def watched_send(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        await body.read_ahead()
        if not body.stalled:
            await self._app(scope, body.receive, watched_send)
        if body.stalled and not answered:
            what = f"nothing of the body has come for {self._seconds:g} seconds\nSend it again."
            answer = error_response(408, "RequestTimeout", what, headers={"Connection": "close"})
            await answer(scope, receive, send)


class _Body:
    """A request's body as it comes; one that stalls looks like a client that has gone."""

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive, self._seconds = receive, seconds
        self._ahead: list[Message] = []
        self._complete = False
        self.stalled = False

    async def read_ahead(self) -> None:
        size = 0
        while size < READ_AHEAD_BYTES and not self._complete:
            message = await self._next()
            self._ahead.append(message)
            size += len(message.get("body", b""))

    async def receive(self) -> Message:
        return self._ahead.pop(0) if self._ahead else await self._next()

    async def _next(self) -> Message:
        if self._complete:  # what comes now is that the client goes away, perhaps after a long download
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._seconds)
        except asyncio.TimeoutError:
            self.stalled = True
            message = {"type": "http.disconnect"}
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message


def cut_stalled_heads(protocol: Any, seconds: float) -> None:
    """Let a protocol of uvicorn close connections on which no request's head is complete in time.

    Args:
        protocol: its class, which is changed.
        seconds: from the connection on, and from the first byte of each later request.
    """
    made, received, lost = protocol.connection_made, protocol.data_received, protocol.connection_lost

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        self.head_timer = self.loop.call_later(seconds, cut, self)

    def data_received(self: Any, data: bytes) -> None:
        before = self.cycle
        if self.head_timer is None and before is not None and before.response_complete:
            self.head_timer = self.loop.call_later(seconds, cut, self)
        received(self, data)
        if self.cycle is not before:  # a head is complete
            forget(self)

    def connection_lost(self: Any, error: Exception | None) -> None:
        forget(self)
        lost(self, error)

    def cut(self: Any) -> None:
        self.head_timer = None
        if self.transport.get_protocol() is self:  # and no websocket took over
            self.transport.abort()

    def forget(self: Any) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    protocol.connection_made, protocol.data_received = connection_made, data_received
    protocol.connection_lost = connection_lost
