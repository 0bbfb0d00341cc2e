"""Files that smart-open reads from their begin to their end, over HTTP and the like, however the server behaves.

Files over HTTP that are read by ranges, as objects of a store are, where their server gives ranges."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import requests
import smart_open
from urllib3.exceptions import HTTPError

from batch_endpoints.errors import InputError, Refused
from batch_endpoints.settings import Settings
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.atomic_files import whole_file
from batch_endpoints.storage.files.http_guard import outside_session
from batch_endpoints.storage.files.object_store import CONNECT_SECONDS, StoreClosed, answered
from batch_endpoints.storage.files.object_streams import ObjectReader
from batch_endpoints.storage.files.patience import Tries

T = TypeVar("T")


def copy_stream(uri: str, target: Path, access: Access = AMBIENT) -> None:
    """Copy one file to this machine's disk; from its begin again where the server is busy, breaks off or is silent.

    Raises:
        OSError: TimeoutError where patience is over.
        Refused: it is to come over HTTP from this machine, which is not open.
    """

    def copy() -> None:
        with _opened(uri, access) as source, whole_file(target, replace=True) as file:
            shutil.copyfileobj(source, file)

    persistently(copy)


def size_of_stream(uri: str, access: Access = AMBIENT) -> int:
    """In bytes; 0 where nobody tells. Raises as ``copy_stream``."""

    def look() -> int:
        if is_http(uri):
            with _asked(uri, access) as answer:
                return int(answer.headers.get("content-length", 0))
        with _opened(uri, access):
            return 0

    return persistently(look)


@contextmanager
def _opened(uri: str, access: Access) -> Iterator[BinaryIO]:
    if is_http(uri):
        with _asked(uri, access, {"Accept-Encoding": "identity"}) as answer:  # the file as it is
            yield cast(BinaryIO, answer.raw)
    else:
        with smart_open.open(uri, "rb", compression="disable") as file:
            yield file


@contextmanager
def _asked(uri: str, access: Access, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
    with session_for(access) as session, session.get(uri, headers=headers, stream=True, timeout=limits()) as answer:
        answer.raise_for_status()
        yield answer


def session_for(access: Access) -> requests.Session:
    """One whose requests go only where a job may have data from."""
    return requests.Session() if access.folders is None else outside_session()


def persistently(ask: Callable[[], T]) -> T:
    """Ask again where the server is busy, breaks off or is silent. Raises as ``copy_stream``."""
    tries = Tries()
    while True:
        try:
            return ask()
        except (requests.RequestException, HTTPError) as error:  # the latter from the middle of a body
            if getattr(getattr(error, "response", None), "status_code", 0) == 401:
                raise StoreClosed(errno.EACCES, str(error)) from error
            if not _passes(error):
                raise
            if not tries.another():
                raise TimeoutError(f"{error} ({tries.made} tries)") from error


def _passes(error: Exception) -> bool:
    """May the same be answered otherwise in a moment?"""
    answer = getattr(error, "response", None)
    if answer is not None:
        return answered(answer.status_code, "", "").passes
    of_transport = requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError | HTTPError
    return isinstance(error, of_transport)


def is_http(uri: str) -> bool:
    """… and not FTP or the like."""
    return uri.lower().startswith("http")


def limits() -> tuple[float, float]:
    """Seconds until there is a connection, and without a byte."""
    timeout = Settings.read().store_timeout_seconds
    return min(CONNECT_SECONDS, timeout), timeout


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
