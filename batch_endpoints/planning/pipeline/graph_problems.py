"""The problems of a document, all reported at once: each with its place, its key and the fix."""

from __future__ import annotations

from batch_endpoints.errors import SpecError
from batch_endpoints.specs.origins import Location, Origins

_MOST = 50


class Problems:
    """Collects what is wrong with one document.

    Args:
        origins: where its keys were given.
    """

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._lines: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, at: Location, message: str) -> None:
        """Note a problem.

        Args:
            at: the key that is wrong, in the document.
            message: what is wrong and how to mend it, without the place.
        """
        origin = self._origins.of(at)
        key = ".".join(str(part) for part in at)
        self._lines[f"{origin}{': ' if origin else ''}{repr(key) + ': ' if key else ''}{message}"] = None

    def raise_any(self) -> None:
        """Raises SpecError with every problem, a line each, if there is one."""
        if lines := list(self._lines):
            more = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
            raise SpecError("\n".join([*lines[:_MOST], *more]))
