"""Passes on what a program prints, line by line; see supervise.py, which has the same rules."""

from __future__ import annotations

import os

_PIECE = 1 << 16


class Relay:
    """What the program prints: whole lines as they come, and what has no end after a moment.

    Args:
        folder: gets the last of each stream, in ``stdout`` and ``stderr``, when all have ended.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pipes = [os.pipe(), os.pipe()]
        self.streams = [read for read, _ in self._pipes]
        self.writers = [write for _, write in self._pipes]
        self._held = {stream: b"" for stream in self.streams}  # the begin of a line
        self._last = {stream: b"" for stream in self.streams}
        self._open = -1  # the stream whose line has been begun in the log

    def forward(self, stream: int) -> bool:
        """Pass on what has come; False at the end of a stream."""
        piece = os.read(stream, _PIECE)
        self._last[stream] = (self._last[stream] + piece)[-_PIECE:]
        held = self._held[stream] + piece
        end = max(held.rfind(b"\n"), held.rfind(b"\r")) + 1
        if len(held) - end > _PIECE or not piece:
            end = len(held)
        self._held[stream] = held[end:]
        self._write(stream, held[:end])
        return bool(piece)

    def pause(self) -> None:
        """Nothing has come for a moment: pass on lines that have no end yet."""
        for stream, held in self._held.items():
            self._held[stream] = b""
            self._write(stream, held)

    def close(self) -> None:
        """All that could write to it have ended: pass on the rest."""
        for stream in self.streams:
            os.set_blocking(stream, False)
            try:
                while self.forward(stream):
                    pass
            except BlockingIOError:
                pass
        self.pause()
        for name, stream in zip(("stdout", "stderr"), self.streams, strict=True):
            try:
                with open(os.path.join(self._folder, name), "wb") as file:
                    file.write(self._last[stream])
            except OSError:
                pass

    def _write(self, stream: int, text: bytes) -> None:
        if not text:
            return
        if self._open not in (-1, stream):
            text = b"\n" + text
        self._open = -1 if text.endswith(b"\n") else stream
        try:
            while text:
                text = text[os.write(1, text) :]
        except OSError:  # its disk is full: no reason to end the program
            pass
