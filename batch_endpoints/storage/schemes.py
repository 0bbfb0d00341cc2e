"""Which URIs are opened: in object stores by clients of our own, as one streamed file, or by pyarrow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from batch_endpoints.errors import InputError
from batch_endpoints.specs.uris import shown

STORES: Mapping[str, Literal["s3", "gcs", "azure"]] = {
    "s3": "s3",
    "gs": "gcs",
    **dict.fromkeys(("abfss", "abfs", "wasbs", "wasb"), "azure"),
}
"""Scheme -> the extra that brings the store's client."""

STREAMED = ("https", "http", "ftps", "ftp", "webhdfs")
"""One file, which smart-open reads. It knows more: those that go through ssh lead to the disks of this machine."""

_BY_ARROW = ("hdfs", "viewfs")
"""pyarrow knows more: ``local``, ``mock`` and ``fsspec+file`` are this machine's disk under another name."""

BY_HOST = ("ftps", "ftp", "webhdfs", *_BY_ARROW)
"""What a machine sends to whatever host such a URI names is for its client to know, which nobody here looks into."""

_OPENED = (*STORES, *STREAMED, *_BY_ARROW, "file")


def scheme_of(uri: str) -> str:
    """In lower case; "" where there is none."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://|(file):", uri, re.IGNORECASE | re.ASCII)
    return (found[1] or found[2]).lower() if found else ""


def check_scheme(uri: str, where: str = "") -> None:
    """Raises InputError for a URI that is not opened here; it names those that are.

    Args:
        where: whose URI it is.
    """
    scheme = scheme_of(uri)
    if scheme not in _OPENED:
        why = f"'{scheme}://' leads nowhere here" if scheme else "it is no URI"
        known = [f"{name}://" for name in _OPENED]
        raise InputError(
            f"cannot open '{shown(uri)}': {why}",
            where=where,
            mend=f"Write one of {', '.join(known[:-1])} or {known[-1]}.",
        )
