"""Files in a store that speaks Amazon's S3 protocol.

An object appears whole or not at all, by the store's own promise. ``put_if_absent`` is a conditional put; each object
carries the name of the call that wrote it, so that a call whose answer was lost can tell whether it was the one.
"""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import Credentials
from batch_endpoints.storage.s3_client import call, code_of, s3_client, s3_place

PIECE_BYTES = 8 << 20  # read or written by one request
PAGE = 1000  # names listed by one request, as many as stores give
_WRITER = "writer"  # key of the metadata that names the call which wrote an object

logger = logging.getLogger(__name__)


class S3Filesystem:
    """Objects below one prefix of a bucket.

    Args:
        uri: ``s3://bucket/prefix``; ``?region=`` and ``?endpoint_override=`` as pyarrow has them.
        credentials: references; None takes what this machine has.
    """

    def __init__(self, uri: str, credentials: Credentials | None = None) -> None:
        self.place = s3_place(uri)
        self._client = s3_client(self.place, credentials)

    def read(self, path: str) -> bytes:
        return cast(bytes, self._call("get_object", path, _body))

    def replace(self, path: str, data: bytes) -> None:
        self._call("put_object", path, Body=data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        me = uuid.uuid4().hex
        try:
            self._call("put_object", path, Body=data, IfNoneMatch="*", Metadata={_WRITER: me})
        except OSError as error:
            if code_of(error.__cause__) != "PreconditionFailed":
                raise
            # somebody was faster, and it may have been this very call, in a try whose answer was lost
            return self._writer(path) == me
        return True

    def names(self, folder: str) -> list[str]:
        return sorted(file.path for file in self.files(folder))

    def files(self, folder: str = "") -> Iterator[InputFile]:
        """All files below a folder, in no order; a page of them is held at a time."""
        return (found for found in self.objects(folder) if not found.path.endswith("/"))

    def objects(self, folder: str = "") -> Iterator[InputFile]:
        """As ``files``, and what consoles make to show an empty folder: a key that ends with a slash."""
        prefix = f"{self._key(folder)}/".removeprefix("/")
        after: dict[str, Any] = {}
        while True:
            page = self._call("list_objects_v2", folder, Prefix=prefix, MaxKeys=PAGE, **after)
            for found in page.get("Contents", ()):
                yield InputFile(found["Key"][len(prefix) :], found["Size"])
            if not page.get("IsTruncated"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    def size(self, path: str) -> int:
        """Bytes of one object. Raises FileNotFoundError."""
        return int(self._call("head_object", path)["ContentLength"])

    def exists(self, path: str) -> bool:
        try:
            self.size(path)
        except FileNotFoundError:
            return False
        return True

    def delete(self, path: str) -> None:
        self._call("delete_object", path)

    def open_input(self, path: str) -> BinaryIO:
        def first(answer: dict[str, Any]) -> tuple[bytes, int, str]:
            return answer["Body"].read(), int(answer["ContentRange"].rpartition("/")[2]), answer["ETag"]

        try:
            begin, size, etag = self._call("get_object", path, first, Range=f"bytes=0-{PIECE_BYTES - 1}")
        except OSError as error:
            if code_of(error.__cause__) != "InvalidRange":
                raise
            return io.BytesIO()  # of an empty object there is no first byte
        if len(begin) == size:
            return io.BytesIO(begin)
        return cast(BinaryIO, io.BufferedReader(_Ranges(self, path, size, etag), PIECE_BYTES))

    def piece(self, path: str, start: int, length: int, etag: str) -> bytes:
        """Some bytes of an object that must still be the one with this ETag."""
        wanted = f"bytes={start}-{start + length - 1}"
        return cast(bytes, self._call("get_object", path, _body, Range=wanted, IfMatch=etag))

    def download(self, path: str, target: Path) -> None:
        """Copy one object to this machine's disk."""
        with self.open_input(path) as source, target.open("wb") as copy:
            while block := source.read(PIECE_BYTES):
                copy.write(block)

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        upload = _Upload(self, path)
        try:
            yield cast(BinaryIO, upload)
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    def _writer(self, path: str) -> str:
        return str(self._call("head_object", path)["Metadata"].get(_WRITER, ""))

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.place.key, path) if part)

    def _call(
        self, name: str, path: str, read: Callable[[dict[str, Any]], object] | None = None, **arguments: Any
    ) -> Any:
        """One request and what ``read`` makes of its answer, tried again together: also a body may break off."""
        if "Prefix" not in arguments:
            arguments["Key"] = self._key(path)

        def act() -> Any:
            answer = getattr(self._client, name)(Bucket=self.place.bucket, **arguments)
            return read(answer) if read else answer

        return call(act, f"s3://{self.place.bucket}/{self._key(path)}")


def _body(answer: dict[str, Any]) -> bytes:
    return cast(bytes, answer["Body"].read())


class _Ranges(io.RawIOBase):
    """A large object, read by ranges."""

    def __init__(self, files: S3Filesystem, path: str, size: int, etag: str) -> None:
        self._files, self._path, self._size, self._etag = files, path, size, etag
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        data = self._files.piece(self._path, self._at, length, self._etag)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def readall(self) -> bytes:
        """The rest; io's own way would ask for it in pieces of some kilobytes."""
        pieces = []
        while piece := self.read(PIECE_BYTES):
            pieces.append(piece)
        return b"".join(pieces)


class _Upload(io.BufferedIOBase):
    """An object that is being written: one put where it is small, otherwise a multipart upload."""

    def __init__(self, files: S3Filesystem, path: str) -> None:
        self._files, self._path = files, path
        self._waiting = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._id, self._writer, self._written = "", uuid.uuid4().hex, 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        piece = memoryview(data).cast("B")
        self._waiting += piece
        self._written += len(piece)
        while len(self._waiting) > self._part_bytes:
            self._send(self._part_bytes)
        return len(piece)

    def finish(self) -> None:
        """Make it appear."""
        if not self._parts:
            self._files.replace(self._path, bytes(self._waiting))
            return
        self._send(len(self._waiting))
        try:
            self._call("complete_multipart_upload", UploadId=self._id, MultipartUpload={"Parts": self._parts})
        except FileNotFoundError:  # the upload is gone: an earlier try may have completed it, and its answer was lost
            if self._files._writer(self._path) != self._writer:
                raise

    def abort(self) -> None:
        """Forget what was sent."""
        if self._id:
            try:
                self._call("abort_multipart_upload", UploadId=self._id)
            except OSError as error:
                logger.debug("an upload that broke off is left behind: %s", error)

    @property
    def _part_bytes(self) -> int:
        return PIECE_BYTES << len(self._parts) // 1000  # a store takes 10,000 parts

    def _send(self, length: int) -> None:
        if not self._id:
            begun = self._call("create_multipart_upload", Metadata={_WRITER: self._writer})
            self._id = begun["UploadId"]
        number = len(self._parts) + 1
        body = bytes(self._waiting[:length])
        sent = self._call("upload_part", UploadId=self._id, PartNumber=number, Body=body)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        del self._waiting[:length]

    def _call(self, name: str, **arguments: Any) -> Any:
        return self._files._call(name, self._path, **arguments)
