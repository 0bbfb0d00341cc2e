"""What a URI names: a disk, a bucket of a store, or a file of the web.

S3: ``s3://bucket/path``, then perhaps ``?region=`` and ``?endpoint_override=`` (with ``&scheme=``), as pyarrow has
them. Without the latter ``AWS_ENDPOINT_URL_S3`` and ``AWS_ENDPOINT_URL`` name a store that is not Amazon's.

Azure: ``abfss://container@account.dfs.core.windows.net/path``,
``wasbs://container@account.blob.core.windows.net/path`` and
``https://account.blob.core.windows.net/container/path`` are one place. Only the hosts of Azure's own clouds are taken
for it, because what this machine has (tokens, signatures) is sent there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from batch_endpoints.errors import InputError
from batch_endpoints.specs.uris import shown

Kind = Literal["disk", "s3", "gcs", "azure", "web"]
"""Where bytes can lie; those of stores name the extra that brings the store's client."""

_SCHEMES: Mapping[str, Kind] = {
    "s3": "s3",
    "gs": "gcs",
    **dict.fromkeys(("abfss", "abfs", "wasbs", "wasb"), "azure"),
    **dict.fromkeys(("https", "http"), "web"),
    "file": "disk",
}

_UNSUPPORTED = ("hdfs", "viewfs", "webhdfs", "ftp", "ftps", "sftp")


def kind_of(uri: str) -> Kind:
    """Where a URI, or a path, leads.

    Raises:
        InputError: nowhere.
    """
    if is_azure(uri):  # also by https://
        return "azure"
    if "://" not in uri and not _FILE_URI.fullmatch(uri):
        return "disk"
    check_scheme(uri)
    return _SCHEMES[scheme_of(uri)]


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
    if scheme in _SCHEMES:
        return
    why = f"'{scheme}://' leads nowhere here" if scheme else "it is no URI"
    known = [f"{name}://" for name in _SCHEMES]
    mend = f"Write one of {', '.join(known[:-1])} or {known[-1]}."
    if scheme in _UNSUPPORTED:
        why = f"{scheme}:// is not supported"
        mend = f"Copy the data to a store, or mount it on all nodes. {mend}"
    raise InputError(f"cannot open '{shown(uri)}': {why}", where=where, mend=mend)


def split_query(uri: str) -> tuple[str, str]:
    """A URI before its query, and the query with its question mark; any other question mark is part of a name."""
    found = None if local_path(uri) else _QUERY.search(uri)
    return (uri[: found.start()], uri[found.start() :]) if found else (uri, "")


def plain(uri: str) -> str:
    """The path of what is on this machine's disk; anything else stays a URI."""
    return str(local_path(uri) or uri)


def name_of(url: str) -> str:
    """The name of a file of the web.

    Raises:
        InputError: the URL is none.
    """
    try:
        name = unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError as error:
        raise InputError(f"cannot open '{shown(url)}': {error}") from None
    return name if name not in ("", ".", "..") else "input"


def split_file(uri: str) -> tuple[str, str]:
    """The root and the path of a file that is named by its whole URI."""
    match kind_of(uri):
        case "disk":
            return "/", plain(uri).removeprefix("/")
        case "web":
            return uri, name_of(uri)
        case _:
            folder, _, name = uri.rpartition("/")
            return folder, name


_S3_URI = re.compile(r"s3://(?P<bucket>[^/?]*)(?P<key>/.*?)?(?:\?(?P<query>[\w.-]+=.*))?", re.IGNORECASE | re.DOTALL)


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
    found = _S3_URI.fullmatch(uri)
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


_QUERY = re.compile(r"\?(?=[\w.-]+=)", re.ASCII)
_GCS_URI = re.compile(r"gs://(?P<bucket>[^/?@]+)(?P<key>/(?:(?!\?[\w.-]+=).)*)?", re.IGNORECASE | re.DOTALL)


def gcs_place(uri: str) -> tuple[str, str]:
    """Bucket and key of ``gs://bucket/key``; names are taken as they are written.

    Raises:
        InputError: no bucket, or a query.
    """
    found = _GCS_URI.fullmatch(uri)
    if found is None:
        raise InputError(
            f"'{shown(uri)}' names no bucket, or has a query behind it", mend="Write gs://<bucket>/<path>."
        )
    return found["bucket"], (found["key"] or "").removeprefix("/").rstrip("/")


CLOUDS = ("core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net", "core.cloudapi.de")

_HOST = rf"(?P<account>[\w-]+)\.(?:blob|dfs)\.(?P<suffix>{'|'.join(map(re.escape, CLOUDS))})"
_KEY = r"(?P<key>/(?:(?!\?[\w.-]+=).)*)?"  # a name may have a question mark, and a query is none of it
_FLAGS = re.IGNORECASE | re.DOTALL | re.ASCII  # a letter of another alphabet can stand for a dot in a host's name
_AZURE_URI = re.compile(rf"(?:abfss?|wasbs?)://(?P<container>[^@/?]+)@{_HOST}{_KEY}", _FLAGS)
_AZURE_URL = re.compile(rf"https://{_HOST}/(?P<container>[^/?]+){_KEY}", _FLAGS)
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
    return bool(re.match(r"(abfss?|wasbs?)://", uri, re.IGNORECASE) or _AZURE_URL.fullmatch(uri))


def azure_place(uri: str) -> AzurePlace | None:
    """What a URI says; names are taken as they are written. None where it is not in one of the spellings."""
    found = _AZURE_URI.fullmatch(uri) or _AZURE_URL.fullmatch(uri)
    if found is None:
        return None
    key = (found["key"] or "").removeprefix("/").rstrip("/")
    return AzurePlace(found["account"].lower(), found["suffix"].lower(), found["container"], key)


def azure_container(uri: str) -> AzurePlace:
    """As ``azure_place``; raises InputError instead of returning None."""
    if place := azure_place(uri):
        return place
    found = _ANY_CLOUD.fullmatch(uri)
    if found and found["suffix"].lower() not in CLOUDS:
        raise InputError(
            f"'{shown(uri)}' is in no cloud of Azure's: '{found['suffix']}' is none of {', '.join(CLOUDS)}",
            mend="Name one of them. Another store of this protocol is entered with a connection_string that says its "
            "BlobEndpoint.",
        )
    raise InputError(
        f"'{shown(uri)}' names no container of an account, or has a query behind it",
        mend="Write abfss://<container>@<account>.dfs.core.windows.net/<path>; a signature goes into the "
        "sas_token of a datastore.",
    )


_FILE_URI = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>.*)", re.IGNORECASE | re.DOTALL)


def local_path(uri: str) -> Path | None:
    """The path of a bare path or a ``file://`` URI; None for anything remote.

    ``?`` and ``#`` are characters of a name here, not the begin of a query.

    Raises:
        InputError: ``file:`` with something that is no slash behind it.
    """
    if found := _FILE_URI.fullmatch(uri):
        if found["host"] not in (None, "", "localhost"):
            raise InputError(
                f"'{uri}' names the machine '{found['host']}'", mend="Write file:/// and the whole path."
            )
        if not found["path"].startswith("/"):
            raise InputError(f"'{uri}' is relative, and to what?", mend="Write file:/// and the whole path.")
        return Path(unquote(found["path"]))
    return None if "://" in uri else Path(uri).absolute()
