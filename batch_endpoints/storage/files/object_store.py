"""A place in an object store, whichever protocol it speaks: what S3, Google's and Azure's stores have in common.

An object appears whole or not at all, by the store's own promise. ``put_if_absent`` is a conditional put; each object
carries the name of the call that wrote it, so that a call whose answer was lost can tell whether it was the one.
"""

from __future__ import annotations

import errno
import io
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from batch_endpoints.interfaces.files import PathPattern, Walk
from batch_endpoints.interfaces.records import Found
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.storage.files.addresses import split_query
from batch_endpoints.storage.files.atomic_files import copy_target, whole_file
from batch_endpoints.storage.files.disk_walk import skipped
from batch_endpoints.storage.files.object_streams import PIECE_BYTES, ObjectReader, ObjectWriter
from batch_endpoints.storage.files.patience import Tries, at_once
from batch_endpoints.storage.files.store_client import StoreClient

PAGE = 1000  # names listed by one request, as many as stores give
_WHOLE = ".whole"  # of a folder with all of its files there is an object with this ending
_FIRST_BYTES = 64 << 10  # read when a file is opened to be read here and there

T = TypeVar("T")
logger = logging.getLogger(__name__)


class ObjectStore:
    """Objects below one prefix of a bucket.

    Args:
        address: the URI that it was opened by.
        bucket_uri: without a final slash.
        key: the prefix, or the key of one object; "" is the whole bucket.
        client: makes the requests.
    """

    disk: Path | None = None

    def __init__(self, address: str, bucket_uri: str, key: str, client: StoreClient) -> None:
        self._address, self.bucket_uri, self.key, self._client = address, bucket_uri, key, client

    @property
    def uri(self) -> str:
        return self.uri_of("")

    def uri_of(self, path: str) -> str:
        return f"{self.bucket_uri}/{self._key(path)}".rstrip("/")

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    def walk(self, pattern: PathPattern | None = None) -> Walk:
        """A key is a file, a prefix of keys a folder."""
        root, query = split_query(self._address)
        if pattern is not None:
            return Walk(self._address, _files(o for o in self._objects("") if pattern.matches(o.path.rstrip("/"))))
        if self.key and not root.endswith("/"):
            try:
                stat = self.ask("", self._client.stat)
                file = InputFile(self.name, stat.size, stat.etag)
            except FileNotFoundError:
                pass
            else:
                return Walk(root.rpartition("/")[0] + query, iter([file]))
        found = self._objects("")
        try:
            first = next(found, None)
        except FileNotFoundError as error:  # the bucket: which says nothing about an input in it
            raise OSError(errno.ENXIO, error.strerror, self.uri) from error
        if first is None and self.key:
            raise FileNotFoundError(errno.ENOENT, "not there", self.uri)
        return Walk(root.rstrip("/") + query, _files(chain([first] if first else [], found)))

    def exists(self, path: str = "") -> bool:
        try:
            self.size(path)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str = "") -> int:
        if not self._key(path):
            raise FileNotFoundError(errno.ENOENT, "a bucket is no file", self.uri)
        return self.ask(path, self._client.stat).size

    def names(self, folder: str) -> list[str]:
        return sorted(found.path for found in self._objects(folder) if found.path and not found.path.endswith("/"))

    def read(self, path: str) -> bytes:
        return self.ask(path, self._client.get)

    def open_input(self, path: str) -> BinaryIO:
        reader = self._reader(path, PIECE_BYTES)
        return cast(BinaryIO, io.BytesIO(reader.begin) if reader.whole else io.BufferedReader(reader, PIECE_BYTES))

    def open_ranges(self, path: str) -> ObjectReader:
        return self._reader(path, _FIRST_BYTES)

    def fetch(self, path: str, scratch: Path) -> Path:
        target = copy_target(scratch, path or self.name, self.uri_of(path))
        with self.open_input(path) as source, whole_file(target, replace=True) as copy:
            while block := source.read(PIECE_BYTES):
                copy.write(block)
        return target

    def replace(self, path: str, data: bytes) -> None:
        self.ask(path, lambda key: self._client.put(key, data, "", False))

    def put_if_absent(self, path: str, data: bytes) -> bool:
        me = uuid.uuid4().hex
        try:
            self.ask(path, lambda key: self._client.put(key, data, me, True))
        except FileExistsError:
            # another call was faster; it may have been this very one, in a try whose answer was lost
            return self.ask(path, self._client.stat).writer == me
        return True

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        def ask(request: Callable[[], T], *, once: bool = False) -> T:
            return self.ask(path, lambda key: request(), once=once)

        writer = ObjectWriter(
            lambda data: self.replace(path, data), lambda: self._client.upload(self._key(path), ask)
        )
        try:
            yield cast(BinaryIO, writer)
            writer.finish()
        except BaseException:
            writer.abort()
            raise

    def delete(self, path: str) -> None:
        try:
            self.ask(path, self._client.delete)
        except FileNotFoundError:
            logger.debug("deleted already, perhaps by a try whose answer was lost", extra={"path": path})

    def put_folder(self, folder: str, files: Mapping[str, str]) -> None:
        """By copies, and at last an object beside it that says so: folders are parts of names."""

        def copy(path: str) -> None:
            with self.open_output(f"{folder}/{path}") as sink, self.open_input(files[path]) as source:
                while block := source.read(PIECE_BYTES):
                    sink.write(block)

        at_once(copy, files)
        self.replace(folder + _WHOLE, b"")

    def has_folder(self, folder: str) -> bool:
        return self.exists(folder + _WHOLE)

    def tidy(self, folder: str) -> None:
        """Folders are parts of names."""

    def ask(self, path: str, request: Callable[[str], T], *, once: bool = False) -> T:
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
                return request(self._key(path))
            except self._client.errors as error:
                trouble, uri = self._client.trouble(error), self.uri_of(path)
                if once or not trouble.passes or not tries.another():
                    raise trouble.error(uri, tries.made) from error
                logger.debug("the store is tried again", extra={"uri": uri, "tries": tries.made, "error": str(error)})

    def _reader(self, path: str, begin_bytes: int) -> ObjectReader:
        """One object, of which each read is a request of its own once the begin is read."""

        def asked(request: Callable[[str], T]) -> T:
            try:
                return self.ask(path, request)
            except FileExistsError:
                raise OSError(errno.EPROTO, "it was replaced while it was read", self.uri_of(path)) from None

        begin = asked(lambda key: self._client.begin(key, begin_bytes))

        def piece(start: int, length: int) -> bytes:
            return asked(lambda key: self._client.piece(key, start, length, begin.version))

        return ObjectReader(piece, begin.data, begin.size)

    def _objects(self, folder: str) -> Iterator[InputFile]:
        """All objects below a folder, in the order of their keys; a page of them is held at a time.

        A key that ends with a slash is what consoles make to show an empty folder.
        """
        prefix = f"{self._key(folder)}/".removeprefix("/")
        after = ""

        def page(key: str) -> tuple[list[InputFile], str]:
            return self._client.page(prefix, after, PAGE)

        while True:
            found, after = self.ask(folder, page)
            for one in found:
                yield InputFile(one.path[len(prefix) :], one.size, one.etag)
            if not after:
                return

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.key, path) if part)


def _files(objects: Iterable[InputFile]) -> Iterator[Found]:
    """Keys that end with a slash stand for folders, unless something is in them; "" is that of the place itself."""
    for found in objects:
        if found.path and not found.path.endswith("/"):
            yield found
        elif found.size:
            yield skipped(found.path, "its key ends with '/', as that of a folder does")
