"""Secrets in URIs: which ones hold some, and how any of them is shown where people read."""

from __future__ import annotations

import re
from urllib.parse import unquote

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://\S+|\?\S+")
_PORT = re.compile(r":\d+(?:/|\Z)")
_QUERY = re.compile(r"\?(?=[\w.%-]+=)", re.ASCII)  # of a store's URI, where any other question mark is part of a name
_ONE_FILE = ("http", "https", "ftp", "ftps", "webhdfs")
_CONTAINER_FIRST = ("abfs", "abfss", "wasb", "wasbs")  # container@account is no secret, container:key@account has one
_SECRET = re.compile(  # the name of a value, without what may stand between its words
    r"sig|(x(amz|goog))?(signature|credentials?|securitytoken)|sharedaccesssignature|sastoken|connectionstring"
    r"|(aws)?(secret)?(access|account|secret|api)key(id)?|(session|access|auth)?token|(client)?secret|password|passwd|pwd"
)


def shown(uri: str) -> str:
    """The URI for messages and logs: without user and password, and without the values of its query.

    What is no URI, and a file's, comes back as it is: a question mark is part of a name there.
    """
    scheme, rest, query = _parts(uri)
    if not scheme:
        return uri
    if found := _userinfo(rest):
        user, secret = found
        kept = f"{user}@" if scheme.lower() in _CONTAINER_FIRST else ""
        rest = kept + rest[len(user) + len(secret) + 1 :]
    return f"{scheme}://{rest}{_without_values(query)}"


def shown_text(text: object) -> str:
    """What a library says, with each URI and each query in it as ``shown`` has them."""

    def hide(found: re.Match[str]) -> str:
        return _without_values(found[0]) if found[0].startswith("?") else shown(found[0])

    return _IN_TEXT.sub(hide, str(text))


def secret_in(uri: str) -> str:
    """Which secret a URI holds, in words that do not repeat it; "" for none."""
    scheme, rest, query = _parts(uri)
    if (found := _userinfo(rest)) and (scheme.lower() not in _CONTAINER_FIRST or found[1]):
        return "a user or a password"
    names = (unquote(pair.partition("=")[0]) for pair in re.split("[&;]", query[1:]))
    secret = next((name for name in names if _SECRET.fullmatch(re.sub("[_.-]", "", name.lower()))), "")
    return f"the value of '{secret}'" if secret else ""


def _parts(uri: str) -> tuple[str, str, str]:
    """Scheme, what is behind it, and the query with its question mark; a scheme "" for what has none of these."""
    found = _URI.fullmatch(uri)
    if found is None or found[1].lower() == "file":
        return "", "", ""
    scheme, rest = found[1], found[2]
    mark = re.search(r"\?", rest) if scheme.lower() in _ONE_FILE else _QUERY.search(rest)
    return (scheme, rest[: mark.start()], rest[mark.start() :]) if mark else (scheme, rest, "")


def _userinfo(rest: str) -> tuple[str, str] | None:
    """The user of what is behind a scheme, and what stands between it and its ``@``; None where there is none.

    It reaches to the last ``@`` of the authority, and beyond a slash where what is behind the colon is no port: keys
    have slashes.
    """
    user, authority = re.split("[/@:?#]", rest, maxsplit=1)[0], re.split("[/?#]", rest, maxsplit=1)[0]
    end = authority.rfind("@")
    if end < 0 and rest.startswith(":", len(user)) and not _PORT.match(rest, len(user)):
        end = rest.find("@", len(user))
    return (user, rest[len(user) : end]) if end >= 0 else None


def _without_values(query: str) -> str:
    if not query:
        return ""
    pairs = (pair.partition("=") for pair in query[1:].split("&"))
    return "?" + "&".join(f"{name}=…" if mark else "…" for name, mark, _ in pairs)
