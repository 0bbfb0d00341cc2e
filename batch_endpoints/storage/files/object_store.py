"""Files in an object store, whichever protocol it speaks: what S3, Google's and Azure's stores have in common.

An object appears whole or not at all, by the store's own promise. ``put_if_absent`` is a conditional put; each object
carries the name of the call that wrote it, so that a call whose answer was lost can tell whether it was the one.
"""

from __future__ import annotations

import errno
import io
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal, NamedTuple, Protocol, TypeVar, cast

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.storage.files.atomic_files import whole_file
from batch_endpoints.storage.files.object_streams import PIECE_BYTES, ObjectReader, ObjectWriter
from batch_endpoints.storage.files.patience import Tries

PAGE = 1000  # names listed by one request, as many as stores give
CONNECT_SECONDS = 10
WRITER = "writer"  # key of the metadata that names the call which wrote an object

_BUSY = {408, 429, 500, 502, 503, 504}
# whatever is asked for, whoever asks is not known, or not any more; of S3 and of Azure, whose 403 may mean that too
_CLOSED = {
    *("ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "InvalidAccessKeyId"),
    "AuthenticationFailed",
}

T = TypeVar("T")
logger = logging.getLogger(__name__)


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


class Begin(NamedTuple):
    """The first bytes of an object, its size, and what names this very content."""

    data: bytes
    size: int
    version: str


class Upload(Protocol):
    """A large object on its way, in parts; each of these is tried again by itself."""

    def send(self, part: bytes, last: bool) -> None: ...

    def finish(self) -> None:
        """Make it appear."""

    def abort(self) -> None:
        """Forget what was sent; what cannot be forgotten is left to the store."""


class ObjectFilesystem(ABC):
    """Objects below one prefix of a bucket.

    Those for one protocol say how a request is made and what its errors mean. Such a request may be made several
    times, and earlier tries may have had their effect although they failed.

    Args:
        bucket_uri: without a final slash.
        key: the prefix; "" is the whole bucket.
    """

    errors: ClassVar[tuple[type[Exception], ...]]
    """What the client raises where a request fails."""

    def __init__(self, bucket_uri: str, key: str) -> None:
        self.bucket_uri, self.key = bucket_uri, key

    @property
    def uri(self) -> str:
        return self.uri_of("")

    def uri_of(self, path: str) -> str:
        return f"{self.bucket_uri}/{self._key(path)}".rstrip("/")

    def read(self, path: str) -> bytes:
        return self.call(path, self._get)

    def replace(self, path: str, data: bytes) -> None:
        self.call(path, lambda key: self._put(key, data, "", False))

    def put_if_absent(self, path: str, data: bytes) -> bool:
        me = uuid.uuid4().hex
        try:
            self.call(path, lambda key: self._put(key, data, me, True))
        except FileExistsError:
            # somebody was faster, and it may have been this very call, in a try whose answer was lost
            return self.stat(path).writer == me
        return True

    def names(self, folder: str) -> list[str]:
        return sorted(file.path for file in self.files(folder))

    def files(self, folder: str = "") -> Iterator[InputFile]:
        """All files below a folder, in the order of their keys; a page of them is held at a time."""
        return (found for found in self.objects(folder) if not found.path.endswith("/"))

    def objects(self, folder: str = "") -> Iterator[InputFile]:
        """As ``files``, and what consoles make to show an empty folder: a key that ends with a slash."""
        prefix = f"{self._key(folder)}/".removeprefix("/")
        after = ""

        def page(key: str) -> tuple[list[InputFile], str]:
            return self._page(prefix, after, PAGE)

        while True:
            found, after = self.call(folder, page)
            for one in found:
                yield InputFile(one.path[len(prefix) :], one.size)
            if not after:
                return

    def stat(self, path: str) -> Stat:
        """Raises FileNotFoundError."""
        return self.call(path, self._stat)

    def exists(self, path: str) -> bool:
        try:
            self.stat(path)
        except FileNotFoundError:
            return False
        return True

    def delete(self, path: str) -> None:
        try:
            self.call(path, self._delete)
        except FileNotFoundError:
            logger.debug("deleted already, perhaps by a try whose answer was lost", extra={"path": path})

    def open_input(self, path: str) -> BinaryIO:
        reader = self.open_reader(path)
        return cast(BinaryIO, io.BytesIO(reader.begin) if reader.whole else io.BufferedReader(reader, PIECE_BYTES))

    def open_reader(self, path: str, begin_bytes: int = PIECE_BYTES) -> ObjectReader:
        """One object, of which each read is a request of its own once the begin is read."""

        def asked(ask: Callable[[str], T]) -> T:
            try:
                return self.call(path, ask)
            except FileExistsError:
                raise OSError(errno.EPROTO, "it was replaced while it was read", self.uri_of(path)) from None

        begin = asked(lambda key: self._begin(key, begin_bytes))

        def piece(start: int, length: int) -> bytes:
            return asked(lambda key: self._piece(key, start, length, begin.version))

        return ObjectReader(piece, begin.data, begin.size)

    def download(self, path: str, target: Path) -> None:
        """Copy one object to this machine's disk, where it appears whole."""
        with self.open_input(path) as source, whole_file(target, replace=True) as copy:
            while block := source.read(PIECE_BYTES):
                copy.write(block)

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        writer = ObjectWriter(lambda data: self.replace(path, data), lambda: self._upload(path))
        try:
            yield cast(BinaryIO, writer)
            writer.finish()
        except BaseException:
            writer.abort()
            raise

    def call(self, path: str, ask: Callable[[str], T], *, once: bool = False) -> T:
        """Make a request for one key, again with growing pauses where the store is busy, broken or out of reach.

        Args:
            once: the client itself tries again.

        Raises:
            OSError: FileNotFoundError, PermissionError, FileExistsError (a condition does not hold) for that reason;
                TimeoutError where patience is over (see ``patience``).
            InputError: nothing that the store could hold.
        """
        tries = Tries()
        while True:
            try:
                return ask(self._key(path))
            except self.errors as error:
                trouble, uri = self._trouble(error), self.uri_of(path)
                if once or not trouble.passes or not tries.another():
                    raise trouble.error(uri, tries.made) from error
                logger.debug("the store is tried again", extra={"uri": uri, "tries": tries.made, "error": str(error)})

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.key, path) if part)

    @abstractmethod
    def _trouble(self, error: Exception) -> Trouble:
        """What one of ``errors`` means."""

    @abstractmethod
    def _get(self, key: str) -> bytes: ...

    @abstractmethod
    def _begin(self, key: str, length: int) -> Begin:
        """The first bytes; also of an empty object."""

    @abstractmethod
    def _piece(self, key: str, start: int, length: int, version: str) -> bytes:
        """Some bytes of an object that must still be this version: "taken" otherwise."""

    @abstractmethod
    def _put(self, key: str, data: bytes, writer: str, if_absent: bool) -> None:
        """Write an object; "taken" where it must be absent and is not."""

    @abstractmethod
    def _stat(self, key: str) -> Stat: ...

    @abstractmethod
    def _page(self, prefix: str, after: str, limit: int) -> tuple[list[InputFile], str]:
        """Some objects by their keys, and what to ask with for more; "" at the end."""

    @abstractmethod
    def _delete(self, key: str) -> None: ...

    @abstractmethod
    def _upload(self, path: str) -> Upload:
        """Begin to write an object in parts."""
