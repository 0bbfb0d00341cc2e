"""Access to stores: which credentials belong to a URI, and the secrets that they refer to.

Jobs carry references (``env:NAME``, ``file:PATH``). They are resolved here, on the node that reads or writes, and
what they stand for goes into a store's client and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from batch_endpoints.errors import InputError
from batch_endpoints.specs import Credentials

Access = Mapping[str, Credentials]
"""URI prefix -> the credentials for what is below it."""

AMBIENT: Access = MappingProxyType({})
"""No credentials of our own: a client finds what its node has (variables, profiles, instance roles)."""


def credentials_for(uri: str, access: Access) -> Credentials | None:
    """The credentials of the longest prefix that this URI is at or below; None where there is none."""
    path = _plain(uri)
    fitting = [prefix for prefix in access if path == _plain(prefix) or path.startswith(_plain(prefix) + "/")]
    return access[max(fitting, key=len)] if fitting else None


def secret(reference: str) -> str:
    """What ``env:NAME`` or ``file:PATH`` stands for on this machine; any other text stands for itself.

    Raises:
        InputError: there is no such variable or file; it names the reference only.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise InputError(
                f"the credentials refer to the environment variable {name}, which is not set on this machine",
                mend="Set it wherever the server and its workers run.",
            )
        return os.environ[name]
    if kind == "file":
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InputError(
                f"the credentials refer to the file '{name}', which cannot be read: {why}",
                mend="Put it wherever the server and its workers run.",
            ) from None
    return reference


def _plain(uri: str) -> str:
    """Without its query and final slashes, with its scheme in lower case."""
    scheme, mark, rest = uri.partition("?")[0].rstrip("/").partition("://")
    return f"{scheme.lower()}{mark}{rest}" if mark else scheme
