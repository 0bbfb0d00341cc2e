"""What stands where a client of blob storage looks: files of datastores, outputs and logs of jobs, uploads.

Most of it is a tree of names over files that are elsewhere; only datastores and pending uploads of code can be
written to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from batch_endpoints.control_plane.artifacts import artifacts
from batch_endpoints.control_plane.uploads import SCHEME
from batch_endpoints.errors import BatchEndpointError, NotFound, SpecError
from batch_endpoints.ingress.azure.blob_answers import Blob
from batch_endpoints.ingress.azure.facade import ARTIFACTS, CODE_ACCOUNT, OUTPUTS, STORE, UPLOADS, Facade
from batch_endpoints.interfaces.files import RangeReader, WritablePlace
from batch_endpoints.specs import Datastore
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.place import open_place, writable_place
from batch_endpoints.storage.outputs.downloads import open_output_file, output_files

LOGS_OF_JOB = "ExperimentRun/dcid."
_OUTPUT = re.compile(rf"{OUTPUTS}([^/]+)/([^/]+)/", re.DOTALL)
_LOGS = re.compile(rf"{re.escape(LOGS_OF_JOB)}([^/]+)/", re.DOTALL)
_UPLOAD = re.compile(rf"{UPLOADS}([0-9a-f]{{64}})/", re.DOTALL)


@dataclass(frozen=True)
class Mount:
    """A place that stands somewhere in a container.

    Args:
        root: how the names of its blobs begin; "" or with a final slash.
        uri: the place.
        access: credentials for it.
        names: paths below it that are shown; None shows all.
        writable: may blobs be put there?
    """

    root: str
    uri: str
    access: Access = AMBIENT
    names: frozenset[str] | None = None
    writable: bool = False


class BlobPlaces:
    """All containers."""

    def __init__(self, facade: Facade) -> None:
        self._facade, self._plane = facade, facade.plane

    def mount(self, account: str, container: str, name: str) -> Mount:
        """What stands at a name of a container, or at the begin of names.

        Raises:
            NotFound: nothing does.
        """
        if account == CODE_ACCOUNT:
            return Mount("", self._facade.files.uri_of(f"{CODE_ACCOUNT}/{container}"), writable=True)
        if container == ARTIFACTS:
            return self._logs(name)
        if container == STORE:
            self._facade.default_datastore()
            if found := _OUTPUT.match(name):
                try:
                    uri = self._plane.jobs.output(found[1], found[2])
                    return Mount(found[0], uri, Access.of(self._plane.jobs.get(found[1]).spec))
                except BatchEndpointError:
                    pass  # a path of the datastore that looks like one
            if found := _UPLOAD.match(name):
                tree = self._plane.uploads.resolve(SCHEME + name.removeprefix(UPLOADS).rstrip("/")).split(found[1])[0]
                return Mount(found[0], f"{tree}{found[1]}")
        datastore = self._plane.assets.get("datastores", container)
        assert isinstance(datastore, Datastore)
        return Mount("", datastore.prefix, self._plane.assets.places.access([datastore.prefix]), writable=True)

    def _logs(self, name: str) -> Mount:
        found = _LOGS.match(name)
        if not found:
            raise NotFound("the logs of a job are below its name")
        job = self._plane.jobs.get(found[1])
        return Mount(found[0], job.folder, names=frozenset(artifacts(job)))

    def list(self, account: str, container: str, prefix: str) -> Iterator[Blob]:
        """The blobs whose names begin so, by name; of a job's output that is not there yet, none."""
        try:
            mount = self.mount(account, container, prefix)
            found = (
                [file for file in output_files(mount.uri, mount.access) if file.path in mount.names]
                if mount.names is not None
                else output_files(mount.uri, mount.access)
            )
        except NotFound:
            return
        for file in sorted(found):
            if (name := mount.root + file.path).startswith(prefix):
                yield self._blob(account, container, name, file.size, self._path(mount, file.path))

    def find(self, account: str, container: str, name: str) -> tuple[Blob, Path | RangeReader | BinaryIO]:
        """A blob and its content.

        Raises:
            NotFound: there is none.
        """
        mount = self.mount(account, container, name)
        path = name.removeprefix(mount.root)
        if mount.names is not None and path not in mount.names:
            raise NotFound(f"there is no blob '{name}'")
        place = open_place(mount.uri, mount.access)
        if not place.exists(path) and path != place.name:
            raise NotFound(f"there is no blob '{name}'")
        file = open_output_file(mount.uri, path, mount.access)
        if isinstance(file, Path):
            return self._blob(account, container, name, file.stat().st_size, file), file
        file.close()
        below = path if path != place.name or place.exists(path) else ""
        blob = self._blob(account, container, name, place.size(below), None)
        return blob, place.open_ranges(below) or place.open_input(below)

    def writable(self, account: str, container: str, name: str) -> tuple[WritablePlace, str]:
        """Where a blob is put: the place, and its path there.

        Raises:
            SpecError: nothing can be put there.
        """
        if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or "\0" in name:
            raise SpecError(f"'{name}' is no name of a blob here")
        mount = self.mount(account, container, name)
        if not mount.writable:
            raise SpecError(f"'{name}' belongs to a job or an upload, and is only read")
        return writable_place(mount.uri, mount.access), name

    def metadata(self, account: str, container: str, name: str) -> Mapping[str, str]:
        try:
            return dict(json.loads(self._facade.files.read(_metadata_file(account, container, name))))
        except FileNotFoundError:
            return {}

    def set_metadata(self, account: str, container: str, name: str, values: Mapping[str, str]) -> None:
        file = _metadata_file(account, container, name)
        if values:
            self._facade.files.replace(file, json.dumps(values).encode())
        else:
            self._facade.files.delete(file)

    def _path(self, mount: Mount, path: str) -> Path | None:
        disk = open_place(mount.uri).disk
        if disk is None:
            return None
        return disk if disk.is_file() else disk / path

    def _blob(self, account: str, container: str, name: str, size: int, file: Path | None) -> Blob:
        metadata = self.metadata(account, container, name)
        if file is None:  # a store: what is there under a name stays, or is replaced by something of another size
            tag = hashlib.sha256(f"{account}/{container}/{name}/{size}".encode()).hexdigest()[:32]
            return Blob(name, size, f'"{tag}"', datetime.fromtimestamp(0, timezone.utc), metadata)
        status = file.stat()
        modified = datetime.fromtimestamp(int(status.st_mtime), timezone.utc)
        return Blob(name, size, f'"{status.st_mtime_ns:x}-{size:x}"', modified, metadata)


def _metadata_file(account: str, container: str, name: str) -> str:
    return f"metadata/{hashlib.sha256(f'{account}/{container}/{name}'.encode()).hexdigest()}.json"
