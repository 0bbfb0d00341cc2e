"""Documents over HTTP: specs with what only the server knows of them, names that agree, lists in pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Body, Depends, Query, Request
from pydantic import AfterValidator

from batch_endpoints.errors import SpecError
from batch_endpoints.interfaces.records import AnyAsset, AnyDeployment, Listing, Page
from batch_endpoints.specs import BatchEndpoint, to_document
from batch_endpoints.specs.limits import excess, quoted, shortened

T = TypeVar("T")


def storable(document: dict[str, Any]) -> dict[str, Any]:
    """A body that every database can keep and every client can be told: JSON allows more than Unicode text does.

    Raises:
        ValueError: half of a surrogate pair, NUL, NaN or an infinity; or it is nested too deeply.
    """
    if found := excess(document, largest=None):
        raise ValueError(found)
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and ("\0" in value or value.encode(errors="replace").decode() != value):
            raise ValueError(f"a text that is no Unicode, or with NUL in it: {quoted(value)}")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is no JSON number")
    return document


Document = Annotated[dict[str, Any], Body(), AfterValidator(storable)]


def _page(
    top: Annotated[int, Query(ge=1, le=1000, description="entries on a page, at most")] = 50,
    skiptoken: Annotated[str, Query(description="from the nextLink of the page before")] = "",
) -> Page:
    return Page(top=top, after=skiptoken)


Paging = Annotated[Page, Depends(_page)]

_READ_ONLY = ("scoring_uri", "openapi_uri", "provisioning_state", "$schema")


def base_url(request: Request) -> str:
    """The server as this client calls it, without a final slash."""
    return str(request.base_url).rstrip("/")


def endpoint_answer(endpoint: BatchEndpoint, request: Request) -> dict[str, Any]:
    base = base_url(request)
    return {
        **to_document(endpoint),
        "scoring_uri": f"{base}/endpoints/{endpoint.name}/jobs",
        "openapi_uri": f"{base}/openapi.json",
        "provisioning_state": "Succeeded",
    }


def deployment_answer(deployment: AnyDeployment) -> dict[str, Any]:
    return {**to_document(deployment), "provisioning_state": "Succeeded"}


def asset_answer(asset: AnyAsset) -> dict[str, Any]:
    return to_document(asset)


def named(document: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """A document without what only the server says, and with the names that its address gives it.

    Raises:
        SpecError: it names itself otherwise.
    """
    kept = {key: value for key, value in document.items() if key not in _READ_ONLY}
    for key, name in names.items():
        said = kept.get(key)
        if said not in (None, "") and str(said) != name:
            raise SpecError(
                f"'{key}' is {quoted(said)} in the body and '{shortened(name)}' in the address",
                mend="Make them agree.",
            )
        kept[key] = name
    return kept


def list_answer(request: Request, listing: Listing[T], shape: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """One page, and where the next one is."""
    answer: dict[str, Any] = {"value": [shape(item) for item in listing.items]}
    if listing.next:
        query = request.url.include_query_params(skiptoken=listing.next).query
        answer["nextLink"] = f"{base_url(request)}{request.url.path}?{query}"
    return answer
