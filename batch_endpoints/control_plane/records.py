"""What the use cases share: merge patches, and lists read to their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from batch_endpoints.errors import NotFound, SpecError
from batch_endpoints.interfaces.records import Listing, Page

T = TypeVar("T")


def merge_patch(document: Any, patch: Any) -> Any:
    """The document with a JSON merge patch (RFC 7396) applied: null removes a key."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def check_patch(patch: Mapping[str, Any], allowed: tuple[str, ...], what: str) -> None:
    """Raises SpecError where a patch touches what cannot be changed."""
    for key in patch:
        if key not in allowed:
            raise SpecError(
                f"'{key}' of {what} cannot be changed",
                mend=f"These can: {', '.join(allowed)}. To change anything else, PUT the whole document.",
            )


def everything(pages: Callable[[Page], Listing[T]]) -> Iterator[T]:
    """All entries of a list, page by page."""
    page = Page(top=1000)
    while True:
        listing = pages(page)
        yield from listing.items
        if not listing.next:
            return
        page = Page(top=page.top, after=listing.next)


def found(look: Callable[[], T]) -> T | None:
    """What ``look`` finds; None where it raises NotFound."""
    try:
        return look()
    except NotFound:
        return None
