"""Places in stores that speak Amazon's S3 protocol, as URIs name them: ``s3://bucket/path``.

Behind it may stand ``?region=`` and ``?endpoint_override=`` (with ``&scheme=``), as pyarrow has them. Without the
latter ``AWS_ENDPOINT_URL_S3`` and ``AWS_ENDPOINT_URL`` name a store that is not Amazon's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from batch_endpoints.errors import InputError
from batch_endpoints.specs.uris import shown

_URI = re.compile(r"s3://(?P<bucket>[^/?]*)(?P<key>/.*?)?(?:\?(?P<query>[\w.-]+=.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class S3Place:
    """A bucket, a key or the begin of keys in it, and what the URI's query says of the store.

    Args:
        chosen: the URL of the store, where the URI says it.
    """

    bucket: str
    key: str
    region: str = ""
    chosen: str = ""

    @property
    def endpoint(self) -> str:
        """The URL of the store; "" is Amazon's."""
        return self.chosen or _with_scheme(
            os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        )


def s3_place(uri: str) -> S3Place:
    """What a URI says. Keys are taken as they are written; nothing in them is decoded.

    Raises:
        InputError: no bucket, or secrets in the URI, or a query that nobody could understand for certain.
    """
    found = _URI.fullmatch(uri)
    if found is None or not found["bucket"]:
        raise InputError(f"'{shown(uri)}' names no bucket", mend="Write s3://<bucket>/<path>.")
    if "@" in found["bucket"]:
        raise InputError(
            "a URI of S3 has credentials in it",
            mend="Put them into the environment, or register a datastore that refers to them.",
        )
    query: dict[str, str] = {}
    for name, value in parse_qsl(found["query"] or ""):
        if name in query:
            raise InputError(f"'{shown(uri)}' has {name} twice", mend="Write it once.")
        query[name] = value
    region = query.get("region", "")
    if not re.fullmatch(r"[\w-]*", region, re.ASCII):  # it becomes a part of the host's name
        raise InputError(f"the region in '{shown(uri)}' is none", mend="Write one as in ?region=eu-west-1.")
    chosen = _with_scheme(query.get("endpoint_override", ""), query.get("scheme", "https"))
    return S3Place(found["bucket"], (found["key"] or "").removeprefix("/").rstrip("/"), region, chosen)


def _with_scheme(endpoint: str, scheme: str = "https") -> str:
    return f"{scheme}://{endpoint}" if endpoint and "://" not in endpoint else endpoint
