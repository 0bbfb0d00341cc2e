"""How far assets may reach: no secrets in them, and only where its clients are on its machine, a server's disk, and
stores on hosts that they choose."""

from __future__ import annotations

from batch_endpoints.errors import Refused, SpecError
from batch_endpoints.interfaces.records import AnyAsset
from batch_endpoints.specs import Data, Datastore, Model
from batch_endpoints.specs.uris import secret_in, shown
from batch_endpoints.storage.files.access import OWN_SETTINGS
from batch_endpoints.storage.files.addresses import CLOUDS, check_scheme, local_path, s3_place, scheme_of

FROM_LOOPBACK = (
    "on the server's own machine: `batch-endpoints up` with the same home and without --host, `batch-endpoints "
    "datastore create`, `batch-endpoints down`; a server that others reach finds it among its records."
)
_WITH_ENDPOINT = ("azure_blob", "azure_data_lake_gen2", "azure_file")


def check_reach(asset: AnyAsset, local_paths: bool) -> None:
    """May this be registered by a client of this server?

    Args:
        local_paths: are its clients on the server's machine, so that its disk and any host are open to them?

    Raises:
        SpecError: it has a secret in its URI, or refers to what is nobody's credential.
        InputError: a datastore for a place that nothing opens.
        Refused: a datastore with a folder of a disk that is not open, or with a variable or file of the server's as
            a credential, or one on a host that its client chooses.
    """
    if isinstance(asset, Model | Data):
        _check_no_secret(asset.path, f"the path of {asset.name or 'the model'}")
    if isinstance(asset, Datastore):
        _check_datastore(asset, local_paths)


def chosen_host(uri: str) -> str:
    """The host that a URI names, where this machine would send it what it signs, or is; "" for none.

    HTTP is no such case: whoever that asks gets nothing of this machine's.
    """
    return s3_place(uri).chosen if scheme_of(uri) == "s3" else ""


def host_refused(uri: str, what: str) -> Refused:
    """What to say to a client who is elsewhere and chooses a host.

    Args:
        what: whose URI it is.
    """
    return Refused(
        f"{what}: the parameter endpoint_override of '{shown(uri)}' names a host, and this server lets "
        "no client elsewhere choose whom it asks",
        mend=f"Leave it out, upload the data, or register a datastore for that place {FROM_LOOPBACK}",
    )


def _check_datastore(datastore: Datastore, local_paths: bool) -> None:
    what = f"datastore '{datastore.name}'"
    _check_no_secret(datastore.uri, f"the uri of {what}")
    if datastore.type in _WITH_ENDPOINT and datastore.endpoint.lower() not in CLOUDS:
        raise SpecError(
            f"{what}: the endpoint '{datastore.endpoint}' is in no cloud of Azure's",
            mend=f"Name one of {', '.join(CLOUDS)}. Another store of this protocol is entered with a "
            "connection_string that says its BlobEndpoint, and without an endpoint.",
        )
    if datastore.uri and local_path(datastore.prefix) is None:
        check_scheme(datastore.uri, f"the uri of {what}")
        if not local_paths and chosen_host(datastore.uri):
            raise host_refused(datastore.uri, what)
    elif datastore.uri and not local_paths:
        raise Refused(
            f"{what}: '{datastore.uri}' is a path on the server's disk, and this server does not open its disk to "
            "clients",
            mend=f"Register it {FROM_LOOPBACK}",
        )
    for key, value in (datastore.credentials.model_dump() if datastore.credentials else {}).items():
        _check_reference(value, f"{what}, credentials.{key}", local_paths)


def _check_reference(value: str, where: str, local_paths: bool) -> None:
    kind, _, name = value.partition(":")
    if kind == "env" and name.startswith(OWN_SETTINGS):
        raise SpecError(
            f"{name} is a setting of the server, and no credential of a store",
            where=where,
            mend="Put the secret into a variable of another name.",
        )
    if kind in ("env", "file") and not local_paths:
        # what is named, be it a secret or not, would be sent to a store that the client chooses, and be in its logs
        raise Refused(
            f"'{value}' is a {'variable' if kind == 'env' else 'file'} of the server, which opens none to clients",
            where=where,
            mend=f"Register the datastore {FROM_LOOPBACK}",
        )


def _check_no_secret(uri: str, what: str) -> None:
    if secret := secret_in(uri):
        raise SpecError(  # which is not to be repeated
            f"{what} has a secret in it: {secret}",
            mend="Leave it out: secrets are not kept here. Credentials of a datastore refer to them, as in "
            "`credentials: {sas_token: env:NAME}`.",
        )
