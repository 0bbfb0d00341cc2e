"""A file that is looked at here and there, with few requests where it is far away."""

from __future__ import annotations

import pyarrow as pa

WINDOW = 64 << 10  # bytes that are read around what is looked at: a request takes longer than they do


class Windows:
    """Bytes of a file by their place.

    Args:
        source: can be read anywhere.
    """

    def __init__(self, source: pa.NativeFile) -> None:
        self._source = source
        self.size = int(source.size())
        self._begin, self._held = 0, b""

    def read(self, at: int, length: int) -> bytes:
        """Some bytes, fewer at the end only; what is behind them will be read next, or not at all."""
        first, end = at - self._begin, min(at + length, self.size) - self._begin
        if first < 0 or end > len(self._held):
            self._look(at, max(length, WINDOW))
            first, end = 0, length
        return self._held[first:end]

    def last(self, length: int) -> bytes:
        """The last bytes; what is before them will be read next."""
        wide = max(length, WINDOW)
        self._look(max(self.size - wide, 0), wide)
        return self._held[-length:]

    def buffer(self, at: int, length: int) -> pa.Buffer:
        """Any number of bytes; they are not copied where the file is mapped into memory."""
        if length <= WINDOW:
            return pa.py_buffer(self.read(at, length))
        self._source.seek(at)
        return self._source.read_buffer(length)

    def _look(self, at: int, length: int) -> None:
        self._begin, self._held = at, self._source.read_at(length, at)
