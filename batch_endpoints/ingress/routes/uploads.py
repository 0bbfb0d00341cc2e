"""``/uploads``: folders and files that clients send."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.control_plane.uploads import Upload
from batch_endpoints.errors import SpecError
from batch_endpoints.ingress.documents import Document
from batch_endpoints.specs import check

_PIECE_BYTES = 1 << 20


def uploads_router(control_plane: ControlPlane) -> APIRouter:
    router = APIRouter(prefix="/uploads", tags=["uploads"])
    uploads = control_plane.uploads

    @router.post("", summary="Announce a folder or file; the answer says which content is missing")
    def post_upload(document: Document) -> dict[str, Any]:
        upload = check(Upload, document, largest=None)
        return {"uri": upload.uri, "missing": uploads.add(upload)}

    @router.put("/blobs/{sha256}", status_code=201, summary="Send the content of one file (raw body)")
    async def put_blob(sha256: str, request: Request) -> dict[str, Any]:
        size = 0
        try:
            async with contextmanager_in_threadpool(uploads.receive(sha256)) as write:
                waiting = bytearray()
                async for piece in request.stream():
                    waiting += piece
                    size += len(piece)
                    if len(waiting) >= _PIECE_BYTES:
                        await run_in_threadpool(write, bytes(waiting))
                        waiting.clear()
                await run_in_threadpool(write, bytes(waiting))
        except ClientDisconnect:
            raise SpecError(f"the client went away in the middle of blob {sha256}") from None
        return {"sha256": sha256, "size": size}

    return router
