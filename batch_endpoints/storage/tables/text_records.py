"""Text, block by block, and where its records end: lines, except that a quoted CSV field may hold line breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from batch_endpoints.storage.files.object_streams import ObjectReader

_LF, _CR, _QUOTE = b'\n\r"'

_SPACES = np.zeros(256, bool)
_SPACES[list(b" \t\r")] = True

Positions = Any  # numpy array of int64

_SCAN_BYTES = 1 << 16  # bytes; small, since one quote in the middle of a field makes the whole block slow

BLOCK_BYTES = 1 << 20  # what is looked at at once; in the cache of a CPU it is faster than more


def ends_in_quotes(data: bytes, delimiter: str) -> bool:
    """Is there a quote in these records that nothing closes?"""
    scanner, content = RecordScanner(quotes=True, delimiter=delimiter), np.frombuffer(data, np.uint8)
    for start in range(0, len(data), _SCAN_BYTES):
        scanner.pass_over(content[start : start + _SCAN_BYTES])
    return scanner.open_quote is not None


class RecordScanner:
    """Finds the ends of records; wants all bytes of a file, in order.

    Args:
        quotes: a line break between quotes ends no record; without them, spaces alone are none.
        begin: position of the first byte it will get.
        delimiter: one character of ASCII, between fields.
    """

    def __init__(self, *, quotes: bool, begin: int = 0, delimiter: str = ",") -> None:
        self._quotes = quotes
        self._openers = np.zeros(256, bool)  # what may stand before a quote that opens; a quote: one that just closed
        self._openers[[_LF, _CR, _QUOTE, ord(delimiter)]] = True
        self._at = self._line = begin  # what was read so far, and where the record at hand begins
        self._inside, self._opened = False, begin
        self._only_spaces = True  # so far, of the record at hand
        self._before = _LF  # the byte before the block, where a quote is only there if it closed a field

    def ends(self, block: bytes) -> Positions:
        """The position behind each record that ends in the block, which must not end between CR and LF."""
        data = np.frombuffer(block, np.uint8)
        breaks = np.flatnonzero(data == _LF)
        if b"\r" in block:
            cr = np.flatnonzero(data == _CR)
            followed = data[np.minimum(cr + 1, len(data) - 1)] == _LF
            breaks = np.union1d(breaks, cr[~followed])
        if self._quotes:
            breaks = self._outside(data, breaks)
        found = breaks + 1
        starts = np.concatenate(([self._line - self._at], found[:-1]))
        length = breaks - starts
        crlf = (length > 0) & (data[breaks] == _LF) & (data[breaks - 1] == _CR)
        is_record = length - crlf > 0
        if not self._quotes:
            self._leave_out_spaces(block, starts, breaks, is_record)
        ends: Positions = found[is_record] + self._at
        if len(found):
            self._line = self._at + int(found[-1])
        self._at += len(block)
        return ends

    def pass_over(self, block: Any) -> None:
        """As ``ends``, of an array, for whom only ``open_quote`` matters."""
        self._outside(block, np.empty(0, np.int64))
        self._at += len(block)

    @property
    def open_quote(self) -> int | None:
        """Where the quote stands that nothing has closed so far."""
        return self._opened if self._inside else None

    def last(self) -> int | None:
        """The end of the last record where no line break follows it."""
        there = self._at > self._line and (self._quotes or not self._only_spaces)
        return self._at if there else None

    def _leave_out_spaces(self, block: bytes, starts: Positions, breaks: Positions, is_record: Any) -> None:
        """Take lines of spaces out of ``is_record``."""
        if len(breaks):
            is_record[0] &= not (self._only_spaces and _is_space(block[: breaks[0]]))
            data = np.frombuffer(block, np.uint8)
            for at in np.flatnonzero(_SPACES[data[starts[1:]]]) + 1:  # few lines begin with one
                is_record[at] &= not _is_space(block[starts[at] : breaks[at]])
            self._only_spaces = True
        self._only_spaces = self._only_spaces and _is_space(block[breaks[-1] + 1 if len(breaks) else 0 :])

    def _outside(self, data: Any, breaks: Positions) -> Positions:
        """The line breaks that are not between quotes."""
        quotes = np.flatnonzero(data == _QUOTE)
        before = data[quotes - 1]
        if len(quotes) and quotes[0] == 0:
            before[0] = self._before
        inside = self._inside
        if not self._openers[before[int(inside) :: 2]].all():
            quotes = self._one_by_one(quotes, before)
        self._inside = (len(quotes) + inside) % 2 == 1
        if self._inside and len(quotes):
            self._opened = self._at + int(quotes[-1])
        if len(data):
            closed = len(quotes) and quotes[-1] == len(data) - 1
            self._before = int(data[-1]) if data[-1] != _QUOTE or closed else 0
        if not inside and not len(quotes):
            return breaks
        return breaks[(np.searchsorted(quotes, breaks) + inside) & 1 == 0]

    def _one_by_one(self, quotes: Positions, before: Any) -> Positions:
        """The quotes that open or close a field, where there are others as well."""
        inside, closed, kept = self._inside, -1, []
        for at, byte in zip(quotes.tolist(), before.tolist(), strict=True):
            if inside:
                closed = at
            elif not self._openers[byte] or (byte == _QUOTE and at > 0 and closed != at - 1):
                continue
            inside = not inside
            kept.append(at)
        return np.array(kept, np.int64)


def _is_space(text: bytes) -> bool:
    return not text.strip(b" \t\r\n")


def blocks(file: Any) -> Iterator[bytes]:
    """What is left of a file, never cut between CR and LF."""
    kept = b""
    for piece in _pieces(file):
        for at in range(0, len(piece), BLOCK_BYTES):
            block = kept + piece[at : at + BLOCK_BYTES]
            kept = block[-1:] if block.endswith(b"\r") else b""
            if block := block.removesuffix(b"\r"):
                yield block
    if kept:
        yield kept


def _pieces(file: Any) -> Iterator[bytes]:
    """Where it is far away, some of it is read ahead."""
    if isinstance(file, ObjectReader):
        yield from file.ahead()
        return
    while piece := file.read(BLOCK_BYTES):
        yield piece
