"""Pieces of work so short that the way to whoever hands them out would take too much of the time."""

from __future__ import annotations

SHORT_SECONDS = 1.0  # of pieces that are handed out one ahead: none waits behind another one for long


class ShortWork:
    """Learns how long pieces take."""

    def __init__(self) -> None:
        self._since, self._done = 0.0, -1

    def one_is_done(self, now: float) -> None:
        """The first one counts as the begin: the loading of the code is in it."""
        self._since, self._done = self._since or now, self._done + 1

    def one_ahead(self, now: float, workers: int, waiting: int) -> bool:
        """May a worker have another piece behind the one that it is at?

        Args:
            workers: how many work.
            waiting: pieces that nobody has; where they are few, others will soon be without any.
        """
        if self._done <= 0 or waiting <= 2 * workers:
            return False
        return (now - self._since) * workers / self._done < SHORT_SECONDS
