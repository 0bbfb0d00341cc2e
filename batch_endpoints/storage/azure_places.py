"""The spellings of a place in Azure's blob storage, which Data Lake Gen2 is as well.

``abfss://container@account.dfs.core.windows.net/path``, ``wasbs://container@account.blob.core.windows.net/path`` and
``https://account.blob.core.windows.net/container/path`` are one place. Only the hosts of Azure's own clouds are taken
for it, because what this machine has (tokens, signatures) is sent there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CLOUDS = ("core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net", "core.cloudapi.de")

_HOST = rf"(?P<account>[\w-]+)\.(?:blob|dfs)\.(?P<suffix>{'|'.join(map(re.escape, CLOUDS))})"
_KEY = r"(?P<key>/(?:(?!\?[\w.-]+=).)*)?"  # a name may have a question mark, and a query is none of it
_FLAGS = re.IGNORECASE | re.DOTALL | re.ASCII  # a letter of another alphabet can stand for a dot in a host's name
_URI = re.compile(rf"(?:abfss?|wasbs?)://(?P<container>[^@/?]+)@{_HOST}{_KEY}", _FLAGS)
_URL = re.compile(rf"https://{_HOST}/(?P<container>[^/?]+){_KEY}", _FLAGS)
_ANY_CLOUD = re.compile(r"(?:abfss?|wasbs?)://[^@/?]+@[^./?]+\.(?:blob|dfs)\.(?P<suffix>[^/?]+)(?:[/?].*)?", _FLAGS)


@dataclass(frozen=True)
class AzurePlace:
    """A container, and a name or the begin of names in it."""

    account: str
    suffix: str  # of the hosts: one of CLOUDS
    container: str
    key: str

    @property
    def container_uri(self) -> str:
        return f"abfss://{self.container}@{self.account}.dfs.{self.suffix}"


def is_azure(uri: str) -> bool:
    """Is it meant to be such a place? With a query (of a signature, say) a URL is one file, read over HTTP."""
    return bool(re.match(r"(abfss?|wasbs?)://", uri, re.IGNORECASE) or _URL.fullmatch(uri))


def unknown_cloud(uri: str) -> str:
    """The suffix of hosts that a URI of Azure's schemes names and that is in no cloud of Azure's; "" for none."""
    found = _ANY_CLOUD.fullmatch(uri)
    return found["suffix"] if found and found["suffix"].lower() not in CLOUDS else ""


def azure_place(uri: str) -> AzurePlace | None:
    """What a URI says; names are taken as they are written. None where it is not in one of the spellings."""
    found = _URI.fullmatch(uri) or _URL.fullmatch(uri)
    if found is None:
        return None
    key = (found["key"] or "").removeprefix("/").rstrip("/")
    return AzurePlace(found["account"].lower(), found["suffix"].lower(), found["container"], key)
