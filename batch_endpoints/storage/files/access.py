"""Access to data: which credentials belong to a URI, the secrets that they refer to, and what of a machine is open.

Jobs carry references (``env:NAME``, ``file:PATH``). They are resolved here, on the node that reads or writes, and
what they stand for goes into a store's client and nowhere else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from batch_endpoints.errors import InputError, Refused
from batch_endpoints.specs import Credentials, JobSpec
from batch_endpoints.storage.files.addresses import azure_place

T = TypeVar("T")
OWN_SETTINGS = (
    "BATCH_ENDPOINTS_"  # how variables begin that are nobody's credentials: one has the database's password
)
LEADS_OUT = "out of the folders that are open to clients who are not on the server's machine"


@dataclass(frozen=True)
class Access:
    """How somebody gets at data.

    Args:
        credentials: URI prefix -> the credentials for what is below it.
        folders: of this machine's disk, which may be read; then nothing else of this machine is open. None: all is.
    """

    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    folders: tuple[str, ...] | None = None

    @classmethod
    def of(cls, job: JobSpec) -> Access:
        return cls(job.credentials, job.open_folders)

    @classmethod
    def of_deployment(cls, job: JobSpec) -> Access:
        """For its code and model, which were looked at when they were registered, and lie in the server's folders."""
        return cls(job.credentials)

    def opens(self, place: str | Path) -> bool:
        """May it be read, if it is on this machine's disk, wherever links on the way lead now?"""
        return self.folders is None or any(is_within(Path(place), Path(folder)) for folder in self.folders)

    def check_open(self, place: str | Path, what: str) -> None:
        """Raises Refused where a place on this machine's disk may not be read.

        Args:
            what: what is there, with its name.
        """
        if not self.opens(place):
            raise Refused(f"{what} leads {LEADS_OUT}", mend="Name what is really in one of them, or upload the data.")


AMBIENT = Access()
"""No credentials of our own: a client finds what its node has (variables, profiles, instance roles)."""


def credentials_for(uri: str, access: Access) -> Credentials | None:
    """The credentials of the longest prefix that this URI is at or below; None where there is none."""
    fitting = [prefix for prefix in access.credentials if is_below(uri, prefix)]
    return access.credentials[max(fitting, key=len)] if fitting else None


def is_below(uri: str, prefix: str) -> bool:
    """Is it what the prefix names, or below that, in whichever spelling?"""
    path, top = _plain(uri), _plain(prefix)
    return path == top or path.startswith(f"{top}/")


def is_within(place: Path, folder: Path) -> bool:
    """Is it really there, wherever links on the way lead?"""
    try:
        return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder))
    except ValueError:  # a NUL in its name
        return False


def secret(reference: str) -> str:
    """What ``env:NAME`` or ``file:PATH`` stands for on this machine; any other text stands for itself.

    Raises:
        InputError: there is no such variable or file, or it is a setting of the server; it names the reference only.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name.startswith(OWN_SETTINGS):
        raise InputError(
            f"the credentials refer to {name}, which is a setting of the server",
            mend="Put the secret into a variable of another name.",
        )
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


def secret_variables(access: Access) -> frozenset[str]:
    """The environment variables that its credentials refer to."""
    values = (
        value for credentials in access.credentials.values() for value in credentials.model_dump().values() if value
    )
    return frozenset(value.removeprefix("env:") for value in values if value.startswith("env:"))


def machine_identity(cloud: str, find: Callable[[], T | None]) -> T | None:
    """Who this machine is to a cloud, where its client has to look around for that.

    Args:
        find: looks; what it finds is kept for this process. None, for nothing, holds for a minute: what would tell
            may be busy.
    """
    key = (os.getpid(), cloud)
    if key not in _identities or (_identities[key][0] is None and time.monotonic() > _identities[key][1]):
        _identities[key] = (find(), time.monotonic() + 60)
    found: T | None = _identities[key][0]
    return found


_identities: dict[tuple[int, str], tuple[Any, float]] = {}


def _plain(uri: str) -> str:
    """Without its query and final slashes, in one of its spellings, with its scheme in lower case."""
    if place := azure_place(uri):
        return f"{place.container_uri}/{place.key}".rstrip("/")
    scheme, mark, rest = uri.partition("?")[0].rstrip("/").partition("://")
    return f"{scheme.lower()}{mark}{rest}" if mark else scheme
