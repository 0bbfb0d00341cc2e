"""Places: what documents call data by, as URIs that every node can open, and which credentials open them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from batch_endpoints.control_plane.reach import FROM_LOOPBACK, chosen_host, host_refused
from batch_endpoints.control_plane.records import everything
from batch_endpoints.control_plane.uploads import SCHEME, Uploads
from batch_endpoints.errors import Refused, SpecError
from batch_endpoints.interfaces.records import RecordStore
from batch_endpoints.specs import (
    Datastore,
    JobInput,
    JobOutput,
    MLTable,
    Model,
    ModelDeployment,
    datastore_path,
)
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import Access, is_below, is_within
from batch_endpoints.storage.files.addresses import check_scheme, local_path, scheme_of
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.inputs.mltable import read_mltable


class DataReferences:
    """Where the data is that deployments and jobs name.

    Args:
        local_paths: may clients name any path on this server's disk, and any host of a store? Otherwise only what is
            below a registered datastore.
    """

    def __init__(self, store: RecordStore, uploads: Uploads, local_paths: bool) -> None:
        self._store, self._uploads, self._local_paths = store, uploads, local_paths

    def uri(self, path: str, what: str) -> str:
        """What a document calls data by, as a URI that every node can open.

        Args:
            path: ``upload://…``, ``azureml://datastores/…``, any other URI, or an absolute path on this server.
            what: whose path it is, for errors.

        Raises:
            SpecError: a path that says nothing here.
            InputError: a URI that nothing opens.
            Refused: a path on this server's disk, which it does not open to its clients, or a host that it does not
                ask for them.
            NotFound: an upload or a datastore that is not there.
        """
        if path.startswith(SCHEME):
            return self._uploads.resolve(path)
        if in_datastore := datastore_path(path):
            return self._in_datastore(*in_datastore, f"{what}: '{shown(path)}'")
        if path.startswith("azureml:"):
            raise SpecError(
                f"{what}: '{shown(path)}' names no place on this server",
                mend="Write azureml://datastores/<name>/paths/<path>, another URI, or an absolute path.",
            )
        scheme = scheme_of(path)
        if scheme and scheme != "file":
            check_scheme(path, what)
            self._check_host(path, what)
            return path
        absolute = str(local_path(path)) if scheme else path
        if not absolute.startswith("/"):
            raise SpecError(
                f"{what}: '{path}' is relative, and the server cannot know to what" if path else f"{what} is missing",
                mend="Write a URI or an absolute path. The command line uploads relative paths by itself.",
            )
        if not self._may_use(Path(absolute)):
            raise Refused(
                f"{what}: '{path}' is a path on the server's disk, and this server does not open its disk to clients",
                mend="Upload the data, give the URI of a store, or register a datastore for that folder "
                f"{FROM_LOOPBACK}",
            )
        return Path(absolute).as_uri()

    def reference(self, uri: str) -> str:
        """An upload's own URI where this is the place of one; any other URI as it is."""
        return self._uploads.reference(uri)

    def access(self, uris: Iterable[str]) -> Access:
        """How a job gets at these URIs: with credentials where they are below a datastore which has some.

        It does not matter how they were named: what is below a datastore's prefix is opened with its credentials.

        Returns: with references to secrets, never the secrets.
        """
        wanted = list(uris)
        datastores = [datastore for datastore in self._datastores() if datastore.prefix]
        credentials = {
            datastore.prefix: datastore.credentials
            for datastore in datastores
            if datastore.credentials and any(is_below(uri, datastore.prefix) for uri in wanted)
        }
        if self._local_paths:
            return Access(credentials)
        uploaded = (local_path(uri) for uri in wanted if self._uploads.has(uri))
        folders = (local_path(datastore.prefix) for datastore in datastores)
        return Access(credentials, tuple(sorted({str(place) for place in chain(folders, uploaded) if place})))

    def table(self, given: JobInput, access: Access) -> MLTable | None:
        """What the file of an MLTable says, with URIs; None for any other input.

        Raises:
            InputError: it cannot be read.
            SpecError: it says what nobody understands here, or a path that says nothing.
            Refused: a path or a host that it does not open to its clients.
        """
        if given.type != "mltable":
            return None
        what = "a path of the MLTable"
        table = read_mltable(given.path, lambda path: self.uri(path, what), access)
        for entry in table.paths:  # also the relative ones
            self._check_host(entry.path, what)
            if place := local_path(entry.path):
                access.check_open(place, f"{what}, '{place}',")
        return table

    def is_mlflow(self, model: Model, uri: str) -> bool:
        """Does MLflow know how to load it: by its type, or because its folder says so?

        Args:
            model: the model.
            uri: where it is, from ``uri``; a store of the user's is not asked.
        """
        if model.type == "mlflow_model":
            return True
        return bool(local_path(uri) or self._uploads.has(uri)) and open_place(uri).exists("MLmodel")

    def _in_datastore(self, name: str, below: str, what: str) -> str:
        if ".." in below.split("/"):
            raise SpecError(f"{what} leads out of the datastore", mend="Leave '..' out.")
        datastore = self._store.asset("datastores", name)
        assert isinstance(datastore, Datastore)
        prefix = datastore.prefix
        if not prefix:
            raise SpecError(f"datastore '{name}' of type {datastore.type} cannot be opened here")
        folder = local_path(prefix)
        if folder:
            place = folder / below.lstrip("/")
            if not (self._local_paths or is_within(place, folder)):
                raise Refused(f"{what} leads out of the datastore, by a link", mend="Name what is in its folder.")
            return place.as_uri()
        prefix, mark, query = prefix.partition("?")
        uri = f"{prefix.rstrip('/')}/{below}".rstrip("/") + mark + query
        check_scheme(uri, what)
        self._check_host(uri, what)
        return uri

    def _check_host(self, uri: str, what: str) -> None:
        """Raises Refused where a client chooses the host of a store: in local mode it may, otherwise that of a
        registered datastore for what is below it."""
        if self._local_paths or not (host := chosen_host(uri)):
            return
        prefixes = (datastore.prefix for datastore in self._datastores())
        if not any(prefix and is_below(uri, prefix) and chosen_host(prefix) == host for prefix in prefixes):
            raise host_refused(uri, what)

    def _may_use(self, place: Path) -> bool:
        """May clients name this path: in local mode any, otherwise those below a registered datastore?"""
        if self._local_paths:
            return True
        folders = (local_path(datastore.prefix) for datastore in self._datastores() if datastore.prefix)
        return ".." not in place.parts and any(folder and is_within(place, folder) for folder in folders)

    def _datastores(self) -> Iterable[Datastore]:
        found = everything(lambda page: self._store.assets("datastores", page))
        return (asset for asset in found if isinstance(asset, Datastore))


def places(
    deployment: ModelDeployment, inputs: Mapping[str, JobInput], outputs: Mapping[str, JobOutput]
) -> Iterator[str]:
    """The URIs of all that a job reads and writes."""
    yield from (given.path for given in inputs.values())
    yield from (output.path for output in outputs.values())
    if isinstance(deployment.model, Model):
        yield deployment.model.path
    if deployment.code_configuration:
        yield deployment.code_configuration.code
