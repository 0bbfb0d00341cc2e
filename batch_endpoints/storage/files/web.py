"""A place on the web: one file over HTTP, read by ranges where its server gives them, however the server behaves."""

from __future__ import annotations

import errno
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import requests
import smart_open.http
from urllib3.exceptions import HTTPError

from batch_endpoints.errors import InputError, Refused
from batch_endpoints.interfaces.files import PathPattern, Walk
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import name_of
from batch_endpoints.storage.files.atomic_files import copy_target, whole_file
from batch_endpoints.storage.files.http_guard import outside_session
from batch_endpoints.storage.files.object_streams import ObjectReader
from batch_endpoints.storage.files.patience import Tries
from batch_endpoints.storage.files.store_client import CONNECT_SECONDS, StoreClosed, answered

T = TypeVar("T")
Target = TypeVar("Target", bound="BinaryIO")
_FIRST_BYTES = 64 << 10
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_AS_IT_IS = {"Accept-Encoding": "identity"}  # compressed on its way, ranges would be those of what is compressed


class Web:
    """One file, which its URL names; as a path it has its name.

    Requests are made again where the server is busy, breaks off or is silent: TimeoutError where patience is over.

    Args:
        access: where not all folders are open, this machine is not asked either (``http_guard``).
    """

    disk: Path | None = None

    def __init__(self, url: str, access: Access = AMBIENT, timeout_seconds: float = 30.0) -> None:
        self._url, self._guarded, self.name = url, access.folders is not None, name_of(url)
        self._limits = min(CONNECT_SECONDS, timeout_seconds), timeout_seconds

    def walk(self, pattern: PathPattern | None = None) -> Walk:
        """The one file; its root is its own URL."""
        return Walk(self._url, iter([InputFile(self.name, self.size())]))

    def exists(self, path: str = "") -> bool:
        try:
            self.size(path)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str = "") -> int:
        """0 where the server does not report it."""
        self._check(path)

        def look() -> int:
            with self._session() as session, session.get(self._url, stream=True, timeout=self._limits) as answer:
                answer.raise_for_status()
                return int(answer.headers.get("content-length", 0))

        return _persistently(look)

    def read(self, path: str) -> bytes:
        self._check(path)
        return _persistently(lambda: self._copy_to(io.BytesIO()).getvalue())

    def open_input(self, path: str) -> BinaryIO:
        return io.BytesIO(self.read(path))

    def open_ranges(self, path: str) -> ObjectReader | None:
        """Each read is a request of its own; None where the server gives no ranges, or not of the file as it is."""
        session = self._session()  # one connection for all of them, as long as the server keeps it

        def ask(start: int, length: int) -> tuple[bytes, int, str]:
            try:
                return _persistently(lambda: self._range(session, start, length))
            except Refused as error:  # it was not so when it was listed
                raise InputError(f"'{shown(self._url)}' cannot be read: {error.what}", mend=error.mend) from None

        begin, size, version = ask(0, _FIRST_BYTES)
        if size < 0:
            return None

        def piece(start: int, length: int) -> bytes:
            data, size_now, version_now = ask(start, length)
            if (size_now, version_now) != (size, version):
                raise OSError(errno.EPROTO, "it was replaced while it was read", self._url)
            return data

        return ObjectReader(piece, begin, size)

    def fetch(self, path: str, scratch: Path) -> Path:
        target = copy_target(scratch, path or self.name, self._url)

        def copy() -> None:
            with whole_file(target, replace=True) as file:
                self._copy_to(file)

        _persistently(copy)
        return target

    def _check(self, path: str) -> None:
        if path not in ("", self.name):
            raise FileNotFoundError(errno.ENOENT, "one file has no files below it", self._url)

    def _session(self) -> requests.Session:
        """One whose requests go only where a job may have data from."""
        return outside_session() if self._guarded else requests.Session()

    def _copy_to(self, target: Target) -> Target:
        with (
            self._session() as session,
            smart_open.http.open(self._url, "rb", session=session, timeout=cast(Any, self._limits)) as source,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        return target

    def _range(self, session: requests.Session, start: int, length: int) -> tuple[bytes, int, str]:
        """Returns: the bytes, the size of the file, -1 where it has no ranges, and the name of this version of it."""
        headers = {"Range": f"bytes={start}-{start + length - 1}", **_AS_IT_IS}
        with session.get(self._url, headers=headers, stream=True, timeout=self._limits) as answer:
            if answer.status_code != requests.codes.requested_range_not_satisfiable:  # of an empty file
                answer.raise_for_status()
            given = _RANGE.fullmatch(answer.headers.get("content-range", ""))
            whole = answer.status_code != requests.codes.partial_content or "content-encoding" in answer.headers
            if whole or given is None or int(given[1]) != start:
                return b"", -1, ""
            data, size = answer.content, int(given[2])
            if len(data) != min(length, size - start):
                raise requests.ConnectionError(f"{len(data)} bytes came instead of {min(length, size - start)}")
            return data, size, answer.headers.get("etag") or answer.headers.get("last-modified", "")


def _persistently(ask: Callable[[], T]) -> T:
    """Ask again where the server is busy, breaks off or is silent."""
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
