"""Pages by key: a token says behind which entry the next page begins, so what others add moves nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from batch_endpoints.errors import SpecError
from batch_endpoints.interfaces.records import Listing, Page

T = TypeVar("T")

FIRST_PAGE = Page()


def listing(found: Sequence[tuple[str | int, T]], page: Page) -> Listing[T]:
    """One page of what was found behind ``page.after``.

    Args:
        found: each entry with its key, in order; one more than ``page.top`` tells that there is a next page.
    """
    shown = found[: page.top]
    more = bool(shown) and len(found) > len(shown)
    return Listing([entry for _, entry in shown], next=str(shown[-1][0]) if more else "")


def position(page: Page) -> int | None:
    """Where the page begins in a list that is ordered by number; None at its beginning.

    Raises:
        SpecError: the token is not one that such a list has given.
    """
    if not page.after:
        return None
    if not re.fullmatch("[0-9]{1,18}", page.after):
        raise SpecError(f"'{page.after}' is not a place in this list", mend="Take it from the page before this one.")
    return int(page.after)
