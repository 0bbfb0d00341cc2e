"""The protocol of Azure's blob storage, as far as its client uses it: put, blocks, metadata, ranges, lists."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree

from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from batch_endpoints.errors import BatchEndpointError, SpecError
from batch_endpoints.ingress.azure.blob_answers import Blob, blob_error, blob_list, common_headers
from batch_endpoints.ingress.azure.blob_places import BlobPlaces
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import Call, Routes
from batch_endpoints.ingress.errors import STATUSES
from batch_endpoints.interfaces.files import RangeReader

LARGEST_PUT = 64 << 20  # bytes; a client sends larger files in blocks
LARGEST_RANGE = 32 << 20  # bytes of one partial answer; what is asked for beyond is cut
LARGEST_WAITING = 256 << 20
"""Bytes of bodies that are on their way at once: Serve keeps in memory what is read more slowly than it comes."""
_PAGE = 5000
_PIECE = 1 << 20
_RANGE = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)
_META = "x-ms-meta-"
_FROZEN = "LocalUpload/"  # below it the name of a folder is the hash of its content


def add_blobs(routes: Routes, facade: Facade) -> None:
    places = BlobPlaces(facade)
    protocol = _Protocol(facade, places)
    container, blob = "/blob/{account}.blob.local/{container}", "/blob/{account}.blob.local/{container}/{name:path}"

    @routes.add("GET", container)
    def list_blobs(call: Call) -> Response:
        return _list(call, places)

    @routes.add("GET HEAD", blob)
    def get_blob(call: Call) -> Response:
        try:
            return _get(call, places)
        except BatchEndpointError as error:
            return _failed(error, "BlobNotFound")

    @routes.add("PUT", blob)
    async def put_blob(call: Call) -> Response:
        try:
            return await protocol.put(call)
        except BatchEndpointError as error:
            return _failed(error, "ContainerNotFound")


def _failed(error: BatchEndpointError, not_found: str) -> Response:
    """An error of ours in the protocol's form."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
    codes = {400: "InvalidInput", 403: "AuthorizationFailure", 404: not_found, 503: "ServerBusy"}
    return blob_error(status, codes.get(status, "InternalError"), str(error))


def _address(call: Call) -> tuple[str, str, str]:
    return call.name("account").lower(), call.name("container"), call.name("name")


class _Protocol:
    """What is written."""

    def __init__(self, facade: Facade, places: BlobPlaces) -> None:
        self._files, self._places = facade.files, places
        self._waiting = 0  # bytes of bodies that are on their way

    async def put(self, call: Call) -> Response:
        """Take a body in, unless too much is on its way already: the client then sends it again by itself."""
        length = call.request.headers.get("content-length", "")
        size = int(length) if length.isdecimal() else LARGEST_PUT
        if self._waiting and self._waiting + size > LARGEST_WAITING:
            return blob_error(503, "ServerBusy", "too many uploads are on their way", {"Retry-After": "1"})
        self._waiting += size
        try:
            return await self._take(call)
        finally:
            self._waiting -= size

    async def _take(self, call: Call) -> Response:
        match call.query("comp"):
            case "":
                return await self._put(call)
            case "block":
                return await self._put_block(call)
            case "blocklist":
                body = await call.request.body()
                return await run_in_threadpool(self._put_list, call, body)
            case "metadata":
                return await run_in_threadpool(self._set_metadata, call)
            case other:
                return blob_error(400, "UnsupportedQueryParameter", f"comp={other} is not served here")

    async def _put(self, call: Call) -> Response:
        account, container, name = _address(call)
        place, path = await run_in_threadpool(self._places.writable, account, container, name)
        there = await run_in_threadpool(place.exists, path)
        if there and call.request.headers.get("if-none-match") == "*":
            return blob_error(409, "BlobAlreadyExists", "there is such a blob already")
        if too_large := _too_large(call.request):
            return too_large
        if there and name.startswith(_FROZEN):
            return await self._put_again(call)
        try:
            await _receive(call.request, place.open_output(path))
        except _WrongContent as error:
            return blob_error(400, "Md5Mismatch", str(error))
        await run_in_threadpool(self._places.set_metadata, account, container, name, _metadata(call.request))
        return await run_in_threadpool(self._created, call)

    async def _put_again(self, call: Call) -> Response:
        """Of what is named by its content: the same again, such as after a broken connection, and nothing else."""
        blob, file = await run_in_threadpool(self._places.find, *_address(call))
        sent, kept = hashlib.sha256(), hashlib.sha256()
        size = 0
        async for piece in call.request.stream():
            sent.update(piece)
            size += len(piece)
        if size == blob.size:
            async for piece in iterate_in_threadpool(_pieces(file, 0, blob.size)):
                kept.update(piece)
        if sent.digest() != kept.digest():
            return blob_error(409, "BlobImmutableDueToPolicy", "a blob named by its content never changes")
        return await run_in_threadpool(self._created, call)

    async def _put_block(self, call: Call) -> Response:
        await run_in_threadpool(self._places.writable, *_address(call))
        if too_large := _too_large(call.request):
            return too_large
        try:
            await _receive(call.request, self._files.open_output(_block(call, call.query("blockid"))))
        except _WrongContent as error:
            return blob_error(400, "Md5Mismatch", str(error))
        return Response(status_code=201, headers=_written())

    def _put_list(self, call: Call, body: bytes) -> Response:
        account, container, name = _address(call)
        place, path = self._places.writable(account, container, name)
        try:
            blocks = [_block(call, element.text or "") for element in ElementTree.fromstring(body)]
        except ElementTree.ParseError as error:
            return blob_error(400, "InvalidXmlDocument", str(error))
        if place.exists(path) and call.request.headers.get("if-none-match") == "*":
            return blob_error(409, "BlobAlreadyExists", "there is such a blob already")
        if not all(self._files.exists(block) for block in blocks):
            return blob_error(400, "InvalidBlockList", "a block of the list was never sent")
        with place.open_output(path) as target:
            for block in blocks:
                with self._files.open_input(block) as source:
                    while piece := source.read(_PIECE):
                        target.write(piece)
        for block in dict.fromkeys(blocks):
            self._files.delete(block)
        self._places.set_metadata(account, container, name, _metadata(call.request))
        return self._created(call)

    def _set_metadata(self, call: Call) -> Response:
        blob, file = self._places.find(*_address(call))
        _close(file)
        self._places.set_metadata(*_address(call), _metadata(call.request))
        return Response(status_code=200, headers=_written(blob.headers))

    def _created(self, call: Call) -> Response:
        blob, file = self._places.find(*_address(call))
        _close(file)
        return Response(status_code=201, headers=_written(blob.headers))


def _get(call: Call, places: BlobPlaces) -> Response:
    blob, file = places.find(*_address(call))
    if call.request.method == "HEAD":
        _close(file)
        return Response(headers={**blob.headers, "Content-Length": str(blob.size)})
    if call.request.headers.get("if-match", blob.etag) not in (blob.etag, "*"):
        return blob_error(412, "ConditionNotMet", "the blob has changed")
    asked = call.request.headers.get("x-ms-range") or call.request.headers.get("range") or ""
    if not (found := _RANGE.fullmatch(asked)):
        headers = {**blob.headers, "Content-Length": str(blob.size)}
        return StreamingResponse(_pieces(file, 0, blob.size), headers=headers)
    start = int(found[1])
    if start >= blob.size:
        _close(file)
        size = {"Content-Range": f"bytes */{blob.size}"}
        return blob_error(416, "InvalidRange", "the range begins after the end", size)
    end = min(int(found[2] or blob.size - 1), blob.size - 1, start + LARGEST_RANGE - 1)
    headers = {
        **blob.headers,
        "Content-Range": f"bytes {start}-{end}/{blob.size}",
        "Content-Length": str(end - start + 1),
    }
    return StreamingResponse(_pieces(file, start, end + 1), status_code=206, headers=headers)


def _list(call: Call, places: BlobPlaces) -> Response:
    account, container = call.name("account").lower(), call.name("container")
    prefix, delimiter, marker = call.query("prefix"), call.query("delimiter"), call.query("marker")
    blobs, folders, next_marker, last = list[Blob](), dict[str, None](), "", ""
    try:
        found = places.list(account, container, prefix)
        for blob in found:
            if marker and blob.name <= marker:
                continue
            if len(blobs) + len(folders) >= _PAGE:
                next_marker = last
                break
            last = blob.name
            head, mark, _ = blob.name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if mark:
                folders[prefix + head + mark] = None
            else:
                blobs.append(blob)
    except BatchEndpointError as error:
        return _failed(error, "ContainerNotFound")
    return blob_list(container, prefix, blobs, list(folders), next_marker)


class _WrongContent(Exception):
    """A body whose hash is not what its header says."""


async def _receive(request: Request, opened: AbstractContextManager[BinaryIO]) -> None:
    """Write a body to a file that appears when all of it is there."""
    expected, found = request.headers.get("content-md5"), hashlib.md5(usedforsecurity=False)
    size = 0
    try:
        async with contextmanager_in_threadpool(opened) as file:
            waiting = bytearray()
            async for piece in request.stream():
                waiting += piece
                size += len(piece)
                if size > LARGEST_PUT:
                    raise SpecError(f"one put has at most {LARGEST_PUT} bytes; send blocks")
                if len(waiting) >= _PIECE:
                    found.update(waiting)
                    await run_in_threadpool(file.write, bytes(waiting))
                    waiting.clear()
            found.update(waiting)
            await run_in_threadpool(file.write, bytes(waiting))
            if expected and base64.b64decode(expected) != found.digest():
                raise _WrongContent("the body was damaged on its way: its MD5 is another one")
    except ClientDisconnect:
        raise SpecError("the client went away in the middle of a blob") from None


def _too_large(request: Request) -> Response | None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > LARGEST_PUT:
        return blob_error(413, "RequestBodyTooLarge", f"one put has at most {LARGEST_PUT} bytes; send blocks")
    return None


def _block(call: Call, block_id: str) -> str:
    account, container, name = _address(call)
    blob = hashlib.sha256(f"{account}/{container}/{name}".encode()).hexdigest()
    return f"blocks/{blob}/{hashlib.sha256(unquote(block_id).encode()).hexdigest()}"


def _metadata(request: Request) -> dict[str, str]:
    return {key[len(_META) :]: value for key, value in request.headers.items() if key.startswith(_META)}


def _written(headers: dict[str, str] | None = None) -> dict[str, str]:
    kept = {key: value for key, value in (headers or {}).items() if key in ("ETag", "Last-Modified")}
    return {**kept, "x-ms-request-server-encrypted": "true", **common_headers()}


def _pieces(file: Path | RangeReader | BinaryIO, start: int, end: int) -> Iterator[bytes]:
    opened: Any = file.open("rb") if isinstance(file, Path) else file
    try:
        if start:
            opened.seek(start)
        while start < end and (piece := opened.read(min(_PIECE, end - start))):
            start += len(piece)
            yield piece
    finally:
        _close(opened)


def _close(file: Any) -> None:
    close: Callable[[], None] | None = None if isinstance(file, Path) else getattr(file, "close", None)
    if close:
        close()
