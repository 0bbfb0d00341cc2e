"""What is asked of an object store's client, and what its answers mean, whichever protocol it speaks."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, TypeVar

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile

CONNECT_SECONDS = 10
WRITER = "writer"  # key of the metadata that names the call which wrote an object

_BUSY = {408, 429, 500, 502, 503, 504}
# whatever is asked for, whoever asks is not known, or not any more; of S3 and of Azure, whose 403 may mean that too
_CLOSED = {
    *("ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "InvalidAccessKeyId"),
    "AuthenticationFailed",
}

T = TypeVar("T")


class StoreClosed(PermissionError):
    """A store that gives nothing to whoever asks, whichever the object; better credentials mend it."""


class Trouble(NamedTuple):
    """What went wrong with a request, in the words of all stores."""

    kind: Literal["absent", "taken", "refused", "closed", "invalid", "busy", "silent", "failed"]
    said: str

    @property
    def passes(self) -> bool:
        """May the same be answered otherwise in a moment?"""
        return self.kind in ("busy", "silent")

    def error(self, uri: str, tries: int) -> Exception:
        """What the caller is told: InputError where it is invalid, otherwise an OSError of its kind, which is
        TimeoutError where the store may answer otherwise later."""
        match self.kind:
            case "absent":
                return FileNotFoundError(errno.ENOENT, self.said, uri)
            case "taken":
                return FileExistsError(errno.EEXIST, self.said, uri)
            case "refused":
                return PermissionError(errno.EACCES, self.said, uri)
            case "closed":
                return StoreClosed(errno.EACCES, self.said, uri)
            case "invalid":
                return InputError(f"'{uri}' is nothing that the store can hold: {self.said}")
            case "silent":
                return TimeoutError(errno.ETIMEDOUT, f"the store does not answer ({tries} tries): {self.said}", uri)
            case "busy":
                return TimeoutError(errno.ETIMEDOUT, f"the store answers {self.said} ({tries} tries)", uri)
            case _:
                return OSError(errno.EPROTO, f"the store answers {self.said} ({tries} tries)", uri)


def answered(status: int, code: str, message: str) -> Trouble:
    """What a store means by an HTTP status and its own code."""
    if status == 401 or code in _CLOSED:
        return Trouble("closed", f"the store does not know who asks ({code})")
    if status == 404:
        return Trouble("absent", "not there")
    if status == 412:
        return Trouble("taken", "there is another one")
    if status == 403:
        return Trouble("refused", f"the store refuses ({code})")
    return Trouble("busy" if status in _BUSY else "failed", f"{code}: {message}")


class Stat(NamedTuple):
    """What a store says of one object."""

    size: int  # bytes
    writer: str  # name of the call that wrote it; "" where somebody else did
    etag: str = ""


class Begin(NamedTuple):
    """The first bytes of an object, its size, and what names this very content."""

    data: bytes
    size: int
    version: str


class Asker(Protocol):
    """Makes a request again for as long as the caller is patient (see ``ObjectStore.ask``)."""

    def __call__(self, request: Callable[[], T], *, once: bool = False) -> T: ...


class Upload(Protocol):
    """A large object on its way, in parts; each of these is tried again by itself."""

    def send(self, part: bytes, last: bool) -> None: ...

    def finish(self) -> None:
        """Make it appear."""

    def abort(self) -> None:
        """Forget what was sent; what cannot be forgotten is left to the store."""


class StoreClient(Protocol):
    """The requests of one protocol, for one bucket.

    Each may be made several times: earlier tries may have had their effect although they failed.
    """

    errors: tuple[type[Exception], ...]
    """What it raises where a request fails."""

    def trouble(self, error: Exception) -> Trouble:
        """What one of ``errors`` means."""

    def get(self, key: str) -> bytes: ...

    def begin(self, key: str, length: int) -> Begin:
        """The first bytes; also of an empty object."""

    def piece(self, key: str, start: int, length: int, version: str) -> bytes:
        """Some bytes of an object that must still be this version: "taken" otherwise."""

    def put(self, key: str, data: bytes, writer: str, if_absent: bool) -> None:
        """Write an object; "taken" where it must be absent and is not."""

    def stat(self, key: str) -> Stat: ...

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[InputFile], str]:
        """Some objects by their keys, and the token to ask for more with; "" at the end."""

    def delete(self, key: str) -> None: ...

    def upload(self, key: str, ask: Asker) -> Upload:
        """Begin to write an object in parts."""
