"""The spellings of a place in Azure's blob storage, which Data Lake Gen2 is as well.

``abfss://container@account.dfs.core.windows.net/path``, ``wasbs://container@account.blob.core.windows.net/path`` and
``https://account.blob.core.windows.net/container/path`` are one place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST = r"(?P<account>[^./@:?]+)\.(?:blob|dfs)\.(?P<suffix>core\.[^/@:?]+)"
_KEY = r"(?P<key>/(?:(?!\?[\w.-]+=).)*)?"  # a name may have a question mark, and a query is none of it
_URI = re.compile(rf"(?:abfss?|wasbs?)://(?P<container>[^@/?]+)@{_HOST}{_KEY}", re.IGNORECASE | re.DOTALL)
_URL = re.compile(rf"https://{_HOST}/(?P<container>[^/?]+){_KEY}", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class AzurePlace:
    """A container, and a name or the begin of names in it."""

    account: str
    suffix: str  # of the hosts: core.windows.net, or that of a sovereign cloud
    container: str
    key: str

    @property
    def container_uri(self) -> str:
        return f"abfss://{self.container}@{self.account}.dfs.{self.suffix}"


def is_azure(uri: str) -> bool:
    """Is it meant to be such a place? With a query (of a signature, say) a URL is one file, read over HTTP."""
    return bool(re.match(r"(abfss?|wasbs?)://", uri, re.IGNORECASE) or _URL.fullmatch(uri))


def azure_place(uri: str) -> AzurePlace | None:
    """What a URI says; names are taken as they are written. None where it is not in one of the spellings."""
    found = _URI.fullmatch(uri) or _URL.fullmatch(uri)
    if found is None:
        return None
    key = (found["key"] or "").removeprefix("/").rstrip("/")
    return AzurePlace(found["account"].lower(), found["suffix"].lower(), found["container"], key)
