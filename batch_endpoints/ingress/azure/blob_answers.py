"""Answers in the shape of Azure's blob storage: errors and lists in XML, and the headers of a blob."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import NamedTuple
from xml.sax.saxutils import escape

from starlette.responses import Response


class Blob(NamedTuple):
    """One blob of a list, or of a request for its properties.

    Args:
        name: within its container.
        size: bytes.
        modified: UTC.
        metadata: what a client has set.
    """

    name: str
    size: int
    etag: str
    modified: datetime
    metadata: Mapping[str, str] = {}

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ETag": self.etag,
            "Last-Modified": format_datetime(self.modified, usegmt=True),
            "Content-Type": "application/octet-stream",
            "x-ms-blob-type": "BlockBlob",
            **{f"x-ms-meta-{key}": value for key, value in self.metadata.items()},
            **common_headers(),
        }


def common_headers() -> dict[str, str]:
    return {"x-ms-version": "2024-05-04", "x-ms-request-id": str(uuid.uuid4())}


def blob_error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as a client of blob storage reads it."""
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    body = f'<?xml version="1.0" encoding="utf-8"?>{error}'
    more = {"x-ms-error-code": code, **common_headers(), **(headers or {})}
    return Response(body, status_code=status, media_type="application/xml", headers=more)


def blob_list(container: str, prefix: str, blobs: Sequence[Blob], folders: Sequence[str], marker: str) -> Response:
    """A page of a container's list.

    Args:
        folders: with a delimiter: what stands for all blobs below it.
        marker: where the next page begins; "" at the end.
    """
    entries = "".join(map(_entry, blobs))
    entries += "".join(f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in folders)
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{escape(container)}">'
        f"<Prefix>{escape(prefix)}</Prefix><Blobs>{entries}</Blobs><NextMarker>{escape(marker)}</NextMarker>"
        "</EnumerationResults>"
    )
    return Response(body, media_type="application/xml", headers=common_headers())


def _entry(blob: Blob) -> str:
    metadata = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in blob.metadata.items())
    return (
        f"<Blob><Name>{escape(blob.name)}</Name><Properties>"
        f"<Last-Modified>{format_datetime(blob.modified, usegmt=True)}</Last-Modified>"
        f"<Etag>{escape(blob.etag)}</Etag><Content-Length>{blob.size}</Content-Length>"
        "<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType></Properties>"
        f"<Metadata>{metadata}</Metadata></Blob>"
    )
