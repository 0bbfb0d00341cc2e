"""Bodies of requests, refused before they are in memory where they are larger than they may be."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batch_endpoints.ingress.errors import error_response
from batch_endpoints.specs.limits import LARGEST_DOCUMENT

LARGEST_MANIFEST = 64 << 20  # bytes of an upload's list of files: some 400,000
_LIMITS: Sequence[tuple[re.Pattern[str], int | None]] = (
    (re.compile("/uploads/blobs/[^/]*"), None),  # goes to the disk piece by piece
    (re.compile("/blob/.*", re.IGNORECASE | re.DOTALL), None),  # the same, as clients of Azure send it
    (re.compile("/uploads"), LARGEST_MANIFEST),
    (re.compile(".*", re.DOTALL), LARGEST_DOCUMENT),
)


class LimitedBodies:
    """Answers 413 to a body that is too large, by what it says of its length or by what has come of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        largest = next(limit for pattern, limit in _LIMITS if pattern.fullmatch(path))
        if largest is None:
            return await self._app(scope, receive, send)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > largest):
            return await error_response(413, "TooLarge", _too_large(largest))(scope, receive, send)
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > largest:
                raise HTTPException(413, _too_large(largest))
            return message

        return await self._app(scope, receive_limited, send)


def _too_large(largest: int) -> str:
    return f"the body has more than {largest} bytes\nFiles go to /uploads, and only their URIs into a body."
