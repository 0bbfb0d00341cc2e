"""Objects of a store as Python's files: read by ranges, written in parts."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch_endpoints.storage.files.store_client import Upload

PIECE_BYTES = 8 << 20  # read or written by one request
_FIRST_BYTES = 1 << 20  # of what is read ahead: many look no further
_AHEAD = 4  # requests at once: one connection to a store is slower than the network
_AT_ONCE = 8  # … of what will be needed for certain
_NEAR_BYTES = 256 << 10  # between two ranges: they come sooner than another request would
_MANY = 1000  # parts after which they become twice as large: S3 takes 10,000 of an object


class ObjectReader(io.RawIOBase):
    """An object that is read by ranges.

    Args:
        piece: asks for some bytes, by start and length; from any thread.
        begin: the first bytes, which the request has brought that told the size.
        size: of the object, in bytes.
    """

    def __init__(self, piece: Callable[[int, int], bytes], begin: bytes, size: int) -> None:
        self._piece, self.begin, self._size = piece, begin, size
        self._at = 0
        self._needed: list[tuple[int, int, Future[bytes]]] = []  # start, end

    @property
    def whole(self) -> bool:
        """Is all of it here?"""
        return len(self.begin) == self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        """As ``readinto``; io's own way would copy it twice."""
        if size < 0:
            return self.readall()
        data = self._bytes(self._at, size)
        self._at += len(data)
        return data

    def ahead(self) -> Iterator[bytes]:
        """The rest, piece by piece: some are asked for while one is looked at. The place does not move."""
        at, length, waiting = self._at, _FIRST_BYTES, deque[Future[bytes]]()
        most = 1  # until somebody wants more than the first
        while True:
            while at < self._size and len(waiting) < most:
                waiting.append(_begun(partial(self._bytes, at, length)))
                at, length = at + length, min(2 * length, PIECE_BYTES)
            if not waiting:
                return
            yield waiting.popleft().result()
            most = _AHEAD

    def _bytes(self, start: int, size: int) -> bytes:
        length = max(min(size, self._size - start), 0)
        data = self.begin[start : start + length]
        if len(data) < length:  # never short of what is asked for: Arrow takes that for the end
            data += self._later(start + len(data), start + length)
        return data

    def will_need(self, ranges: Iterable[tuple[int, int]]) -> None:
        """As of ``RangeReader``; what lies close together is one request, and what is long is several."""
        wanted = [
            (at, min(at + PIECE_BYTES, end, self._size))
            for start, end in _merged(ranges)
            for at in range(max(start, len(self.begin)), min(end, self._size), PIECE_BYTES)
        ]
        places = threading.Semaphore(_AT_ONCE)

        def ask(start: int, end: int) -> bytes:
            with places:
                return self._piece(start, end - start)

        self._needed = [(start, end, _begun(partial(ask, start, end))) for start, end in wanted]

    def _later(self, start: int, end: int) -> bytes:
        """Some bytes beyond the begin: from what was asked for already as far as they are in it."""
        pieces = []
        while start < end:
            found = next((one for one in self._needed if one[0] <= start < one[1]), None)
            if found is None:
                stop = min((one[0] for one in self._needed if start < one[0] < end), default=end)
                pieces.append(self._range(start, stop))
            else:
                first, stop, data = found
                stop = min(stop, end)
                pieces.append(data.result()[start - first : stop - first])
            start = stop
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _range(self, start: int, end: int) -> bytes:
        """Several requests at once where it is long."""
        if end - start <= PIECE_BYTES:
            return self._piece(start, end - start)
        pieces, waiting = list[bytes](), deque[Future[bytes]]()
        for at in range(start, end, PIECE_BYTES):
            if len(waiting) == _AHEAD:
                pieces.append(waiting.popleft().result())
            waiting.append(_begun(partial(self._piece, at, min(PIECE_BYTES, end - at))))
        return b"".join([*pieces, *(piece.result() for piece in waiting)])

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """The rest; io's own way would ask for it in pieces of some kilobytes."""
        return self.read(max(self._size - self._at, 0))


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In their order, and those that lie close together as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] <= _NEAR_BYTES:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _begun(read: Callable[[], bytes]) -> Future[bytes]:
    """In a thread that nobody has to wait for, and that is as patient with its store as the caller."""
    future = Future[bytes]()

    def work() -> None:
        try:
            future.set_result(read())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
    return future


class ObjectWriter(io.BufferedIOBase):
    """An object that is being written: one put where it is small, otherwise in parts.

    Args:
        put: writes all of a small one.
        begin: begins an upload in parts.
    """

    def __init__(self, put: Callable[[bytes], None], begin: Callable[[], Upload]) -> None:
        self._put, self._begin = put, begin
        self._waiting = bytearray()
        self._upload: Upload | None = None
        self._parts = self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        piece = memoryview(data).cast("B")
        self._waiting += piece
        self._written += len(piece)
        while len(self._waiting) > (length := PIECE_BYTES << self._parts // _MANY):
            self._send(length, last=False)
        return len(piece)

    def finish(self) -> None:
        """Make it appear."""
        if self._upload is None:
            self._put(bytes(self._waiting))
            return
        self._send(len(self._waiting), last=True)
        self._upload.finish()

    def abort(self) -> None:
        """Forget what was sent."""
        if self._upload is not None:
            self._upload.abort()

    def _send(self, length: int, *, last: bool) -> None:
        if self._upload is None:
            self._upload = self._begin()
        self._upload.send(bytes(self._waiting[:length]), last)
        self._parts += 1
        del self._waiting[:length]
