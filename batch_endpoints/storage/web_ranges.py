"""Files over HTTP that are read by ranges, as objects of a store are, where their server gives ranges."""

from __future__ import annotations

import errno
import re

import requests

from batch_endpoints.errors import InputError, Refused
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.access import AMBIENT, Access
from batch_endpoints.storage.object_streams import ObjectReader
from batch_endpoints.storage.streams import is_http, limits, persistently, session_for

_FIRST_BYTES = 64 << 10
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


def open_ranges(uri: str, access: Access = AMBIENT) -> ObjectReader | None:
    """A file of which each read is a request of its own; None where it can only be copied.

    Raises:
        OSError: as ``copy_stream``; also while it is read, and where it was replaced since it was opened.
        InputError: it is to come from this machine, which is not open; also while it is read.
    """
    if not is_http(uri):
        return None
    session = session_for(access)  # one connection for all of them, as long as the server keeps it

    def ask(start: int, length: int) -> tuple[bytes, int, str]:
        try:
            return persistently(lambda: _ask(session, uri, start, length))
        except Refused as error:  # it was not so when it was listed
            raise InputError(f"'{shown(uri)}' cannot be read: {error.what}", mend=error.mend) from None

    begin, size, version = ask(0, _FIRST_BYTES)
    if size < 0:
        return None

    def piece(start: int, length: int) -> bytes:
        data, size_now, version_now = ask(start, length)
        if (size_now, version_now) != (size, version):
            raise OSError(errno.EPROTO, "it was replaced while it was read", uri)
        return data

    return ObjectReader(piece, begin, size)


def _ask(session: requests.Session, uri: str, start: int, length: int) -> tuple[bytes, int, str]:
    """Returns: the bytes, the size of the file, -1 where it has no ranges, and what tells it from others."""
    # compressed on its way, the ranges would be those of what is compressed
    headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
    with session.get(uri, headers=headers, stream=True, timeout=limits()) as answer:
        if answer.status_code != requests.codes.requested_range_not_satisfiable:  # of an empty file
            answer.raise_for_status()
        told = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        whole = answer.status_code != requests.codes.partial_content or "content-encoding" in answer.headers
        if whole or told is None or int(told[1]) != start:
            return b"", -1, ""
        data, size = answer.content, int(told[2])
        if len(data) != min(length, size - start):
            raise requests.ConnectionError(f"{len(data)} bytes came instead of {min(length, size - start)}")
        return data, size, answer.headers.get("etag") or answer.headers.get("last-modified", "")
