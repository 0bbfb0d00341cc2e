"""One small file interface for job folders and outputs, and what a URI means.

A file appears whole or not at all, and ``put_if_absent`` has exactly one winner: the promises of exactly-once
output rest on these two.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, cast

import pyarrow.fs

from batch_endpoints.errors import InputError
from batch_endpoints.interfaces import Filesystem
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.files.access import AMBIENT, Access, credentials_for
from batch_endpoints.storage.files.addresses import STORES, check_scheme, is_azure, local_path, scheme_of
from batch_endpoints.storage.files.atomic_files import ASIDE, whole_file

if TYPE_CHECKING:
    from batch_endpoints.storage.files.object_store import ObjectFilesystem
    from batch_endpoints.storage.files.object_streams import ObjectReader

_CLIENTS = ("boto3", "botocore", "google", "azure")
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}  # what SMB, FUSE and the like say to a hard link
_FIRST_BYTES = 64 << 10  # read when a file is opened; the rest is read where Arrow wants it


class LocalFilesystem:
    """Files of this machine, or of a disk that all nodes share, below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def replace(self, path: str, data: bytes) -> None:
        with self.open_output(path) as file:
            file.write(data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with whole_file(target, replace=False) as file:
                file.write(data)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise InputError(
                f"the disk of '{self.root}' has no hard links ({error.strerror}), by which of two who write one file "
                "a single one wins",
                mend="Let BATCH_ENDPOINTS_ROOT (or BATCH_ENDPOINTS_HOME) name another disk or an object store; a job "
                "whose output is on this disk must ask for overwrite.",
            ) from None
        return True

    def names(self, folder: str) -> list[str]:
        top = os.path.join(self.root, folder, "")
        found = [
            os.path.join(at, name)[len(top) :]
            for at, _, names in os.walk(top)
            for name in names
            if not name.startswith(ASIDE)
        ]
        return sorted(found)

    def open_input(self, path: str) -> BinaryIO:
        return cast(BinaryIO, pyarrow.memory_map(str(self.root / path)))

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target, replace=True) as file:
            yield file

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)


class ArrowFilesystem:
    """What pyarrow.fs opens, for outputs: an object appears when its upload is complete."""

    def __init__(self, uri: str, access: Access = AMBIENT) -> None:
        self.files, self.root = open_uri(uri, access)

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        stream = self.files.open_output_stream(self._at(path))
        try:
            with stream:
                yield cast(BinaryIO, stream)
        except BaseException:
            self.files.delete_file(self._at(path))  # closing has completed what should not be there
            raise

    def names(self, folder: str) -> list[str]:
        top = self._at(folder)
        below = self.files.get_file_info(pyarrow.fs.FileSelector(top, recursive=True, allow_not_found=True))
        return sorted(info.path[len(top) :].lstrip("/") for info in below if info.is_file)

    def delete(self, path: str) -> None:
        self.files.delete_file(self._at(path))

    def exists(self, path: str) -> bool:
        found: bool = self.files.get_file_info(self._at(path)).type != pyarrow.fs.FileType.NotFound
        return found


OutputPlace: TypeAlias = "LocalFilesystem | ArrowFilesystem | ObjectFilesystem"


def output_filesystem(uri: str, access: Access = AMBIENT) -> OutputPlace:
    """Where the files of an output go, below its URI."""
    if in_store(uri):
        return store_filesystem(uri, access)
    folder = local_path(uri)
    return LocalFilesystem(folder) if folder else ArrowFilesystem(uri, access)


def open_filesystem(uri: str) -> Filesystem:
    """Where the files of a job folder are; a store is entered with the credentials that each node has.

    Raises:
        InputError: a place that cannot hold job folders.
    """
    if in_store(uri):
        return store_filesystem(uri)
    folder = local_path(uri)
    if folder is None:
        raise InputError(
            f"job folders cannot live at '{shown(uri)}'",
            mend="Use a folder of a disk that all nodes share, or a path in an object store: s3://, gs:// or abfss://.",
        )
    return LocalFilesystem(folder)


def in_store(uri: str) -> bool:
    """Does this name something in an object store that we have the protocol of?"""
    return bool(_store(uri))


def store_filesystem(uri: str, access: Access = AMBIENT) -> ObjectFilesystem:
    """What is below a prefix in an object store.

    Raises:
        InputError: its client is not installed, or the URI says nothing.
    """
    credentials = credentials_for(uri, access)
    with _client_wanted(uri):
        match _store(uri):
            case "azure":
                from batch_endpoints.storage.files.azure import AzureFilesystem

                return AzureFilesystem(uri, credentials)
            case "gcs":
                from batch_endpoints.storage.files.gcs import GcsFilesystem

                return GcsFilesystem(uri, credentials)
            case _:
                from batch_endpoints.storage.files.s3 import S3Filesystem

                return S3Filesystem(uri, credentials)


def _store(uri: str) -> Literal["s3", "gcs", "azure", ""]:
    """The extra that brings a store's client; "" for what is in none."""
    if is_azure(uri):
        return "azure"
    return STORES.get(scheme_of(uri), "")


@contextmanager
def _client_wanted(uri: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _CLIENTS:
            raise
        raise InputError(
            f"'{shown(uri)}' needs the package {error.name}, which is not installed on this machine",
            mend=f"Install batch-endpoints[{_store(uri)}].",
        ) from None


def open_object(root: str, path: str, access: Access = AMBIENT) -> ObjectReader:
    """An object of a store."""
    return store_filesystem(root, access).open_reader(path, _FIRST_BYTES)


def open_seekable(root: str, path: str, access: Access = AMBIENT, *, by_arrow: bool = True) -> pyarrow.NativeFile:
    """A remote file for Arrow's readers, which jump about in it.

    Args:
        by_arrow: let Arrow read from S3 itself, several ranges at once; what it breaks off is to be asked for again.

    Raises:
        InputError: no file system for this kind of URI.
    """
    if _store(root) not in ("", "s3") or (_store(root) and not by_arrow):
        # what Arrow itself has for these takes other credentials, and tells and tries again what fails otherwise
        return pyarrow.PythonFile(open_object(root, path, access), mode="r")
    files, top = open_uri(root, access)
    return files.open_input_file(f"{top}/{path}")


def open_uri(uri: str, access: Access = AMBIENT) -> tuple[pyarrow.fs.FileSystem, str]:
    """A pyarrow file system and the path in it.

    Raises:
        InputError: no file system for this kind of URI.
    """
    credentials = credentials_for(uri, access)
    if _store(uri) == "s3":
        with _client_wanted(uri):
            from batch_endpoints.storage.files.s3 import s3_arrow
        return s3_arrow(uri, credentials)
    if credentials is not None:
        raise InputError(
            f"credentials of a datastore cannot be used for '{shown(uri)}'",
            mend="Leave them out of the datastore and let the machines have them in their environment.",
        )
    check_scheme(uri)
    try:
        found: tuple[pyarrow.fs.FileSystem, str] = pyarrow.fs.FileSystem.from_uri(uri)
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise InputError(f"cannot open '{shown(uri)}': {shown_text(error)}") from None
    return found[0], found[1].rstrip("/")
