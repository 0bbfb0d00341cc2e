"""Datastores: those of the control plane, whose files a client gets through our own blob routes."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from batch_endpoints.control_plane.records import everything
from batch_endpoints.errors import SpecError
from batch_endpoints.ingress.azure.facade import ACCOUNT, ARTIFACTS, STORE, Facade
from batch_endpoints.ingress.azure.routes import WORKSPACE, Call, Routes, present, resource, stored
from batch_endpoints.specs import Datastore, check

_COLLECTION = WORKSPACE + "/datastores"
_ONE = _COLLECTION + "/{name}"
_TYPES = {"AzureBlob": "azure_blob", "AzureDataLakeGen2": "azure_data_lake_gen2", "AzureFile": "azure_file"}
_KEYS = {
    "azure_blob": "container_name",
    "azure_data_lake_gen2": "filesystem",
    "azure_file": "file_share_name",
}
_WIRE_KEYS = {"azure_blob": "containerName", "azure_data_lake_gen2": "filesystem", "azure_file": "fileShareName"}


def add_datastores(routes: Routes, facade: Facade) -> None:
    assets = facade.plane.assets

    def one(name: str) -> Datastore:
        default = facade.default_datastore()
        if name.lower() == STORE:
            return default
        if name.lower() == ARTIFACTS:
            return Datastore(name=ARTIFACTS, type="uri", uri="/")
        datastore = assets.get("datastores", name)
        assert isinstance(datastore, Datastore)
        return datastore

    @routes.add("GET", _COLLECTION)
    def list_datastores(call: Call) -> dict[str, Any]:
        default = facade.default_datastore()
        found = [one(asset.name) for asset in everything(lambda page: assets.list("datastores", page))]
        chosen = [default] if call.query("isDefault").lower() == "true" else [*found, one(ARTIFACTS)]
        return {"value": [_answer(facade, datastore, call) for datastore in chosen]}

    @routes.add("GET", _ONE)
    def get_datastore(call: Call) -> dict[str, Any]:
        return _answer(facade, one(call.name("name")), call)

    @routes.add("PUT", _ONE)
    def put_datastore(call: Call) -> Response:
        saved, created = assets.put("datastores", check(Datastore, _document(call)))
        assert isinstance(saved, Datastore)
        return stored(_answer(facade, saved, call), created)

    @routes.add("DELETE", _ONE)
    def delete_datastore(call: Call) -> None:
        assets.delete("datastores", call.name("name"))

    @routes.add("POST", _ONE + "/listSecrets")
    def list_secrets(call: Call) -> dict[str, Any]:
        datastore = one(call.name("name"))
        if datastore.type != "uri":
            raise SpecError(
                f"the secrets of datastore '{datastore.name}' are not given out",
                mend="Jobs read it with them; a client gets at an account of Azure with its own identity.",
            )
        reads_only = datastore.name == ARTIFACTS
        container = f"{ACCOUNT}/{datastore.name}"
        signed = facade.doors.sign(container, ("read", "list") if reads_only else ("read", "list", "write"))
        return {"secretsType": "Sas", "sasToken": signed}


def _answer(facade: Facade, datastore: Datastore, call: Call) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "description": datastore.description or None,
        "isDefault": datastore.name == STORE,
        "protocol": "https",
        "serviceDataAccessAuthIdentity": "None",
        "tags": datastore.tags,
        "properties": datastore.properties,
    }
    if datastore.type == "uri":
        properties |= {
            "datastoreType": "AzureBlob",
            "accountName": facade.blob_account(ACCOUNT, call.base),
            "containerName": datastore.name,
            "endpoint": "local",
            "credentials": {"credentialsType": "Sas"},
        }
    else:
        wire = {ours: theirs for theirs, ours in _TYPES.items()}
        key = _KEYS.get(datastore.type, "")
        properties |= {
            "datastoreType": wire.get(datastore.type, "AzureBlob"),
            "accountName": datastore.account_name,
            _WIRE_KEYS.get(datastore.type, "containerName"): getattr(datastore, key, ""),
            "endpoint": datastore.endpoint,
            "protocol": datastore.protocol,
            "credentials": {"credentialsType": "None"},
        }
    return resource(
        f"{call.workspace}/datastores/{datastore.name}", datastore.name, "datastores", present(properties)
    )


def _document(call: Call) -> dict[str, Any]:
    given = call.properties
    kinds = {theirs.lower(): ours for theirs, ours in _TYPES.items()}
    kind = kinds.get(str(given.get("datastoreType", "")).lower())
    if kind is None:
        raise SpecError(
            f"a datastore of type '{given.get('datastoreType')}' cannot be registered here",
            mend=f"These can: {', '.join(_TYPES)}; any other with `batch-endpoints datastore create`.",
        )
    credentials = str(given.object("credentials").get("credentialsType", "None"))
    if not re.fullmatch("None", credentials, re.IGNORECASE):
        raise SpecError(
            f"datastore '{call.name('name')}' comes with a secret ({credentials}), and secrets are not kept here",
            mend="Register it with `batch-endpoints datastore create` and credentials that refer to the secret, such "
            "as `account_key: env:NAME`.",
        )
    document = {
        "name": call.name("name"),
        "type": kind,
        "description": given.get("description"),
        "tags": given.get("tags"),
        "properties": given.get("properties"),
        "account_name": given.get("accountName"),
        _KEYS[kind]: given.get(_WIRE_KEYS[kind]),
        "endpoint": given.get("endpoint"),
        "protocol": given.get("protocol"),
    }
    return present(document)
