"""Code folders: announced, sent to a container of their own, and from then on one of our uploads.

The id that a code gets says which upload it is, so nothing else has to be kept: a deployment that our own command
line has made shows its code in the same form.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from starlette.responses import Response

from batch_endpoints.control_plane.uploads import SCHEME, Upload, UploadedFile
from batch_endpoints.errors import NotFound, SpecError
from batch_endpoints.ingress.azure.facade import CODE_ACCOUNT, Facade
from batch_endpoints.ingress.azure.routes import WORKSPACE, Call, Routes, resource, stored
from batch_endpoints.storage.outputs.downloads import open_output_file, output_files

_VERSIONS = WORKSPACE + "/codes/{name}/versions"
_ONE = _VERSIONS + "/{version}"
_ID = re.compile(r"(?:azureml:)?/subscriptions/.+/codes/([0-9a-f]{64})/versions/([^/]+)", re.IGNORECASE | re.DOTALL)
_HASH = re.compile("[0-9a-f]{64}")
_PIECE = 1 << 20


def add_codes(routes: Routes, facade: Facade) -> None:
    @routes.add("GET", _VERSIONS)
    def list_codes(call: Call) -> dict[str, Any]:
        """Whether a folder with this content was sent before, so that it need not be sent again."""
        uri = _known(facade, call.query("hash"))
        return {"value": [_answer(facade, call, uri, call.query("hash"))] if uri else []}

    @routes.add("POST", _ONE + "/startPendingUpload")
    def start_upload(call: Call) -> dict[str, Any]:
        container = str(uuid.uuid4())
        address = facade.blob_address(CODE_ACCOUNT, container, call.base)
        signed = facade.doors.sign(f"{CODE_ACCOUNT}/{container}", ("read", "list", "write"))
        return {
            "pendingUploadId": container,
            "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": {
                "blobUri": address,
                "storageAccountArmId": "",
                "credential": {"credentialType": "SAS", "sasUri": f"{address}?{signed}"},
            },
        }

    @routes.add("PUT", _ONE)
    def put_code(call: Call) -> Response:
        given = call.properties
        asked = str(given.object("properties").get("hash_sha256", ""))
        uri = _upload(facade, facade.ours(str(given.get("codeUri", ""))))
        if _HASH.fullmatch(asked):
            facade.files.replace(f"codes/{asked}", uri.encode())
        return stored(_answer(facade, call, uri, asked), True)

    @routes.add("GET", _ONE)
    def get_code(call: Call) -> dict[str, Any]:
        uri = f"{SCHEME}{call.name('name')}/{unquote(call.name('version'))}"
        facade.plane.uploads.resolve(uri)
        return _answer(facade, call, uri, "")


def code_id(uri: str, workspace: str) -> str:
    """The id of a code that is one of our uploads; of a folder on the server's disk, its URI."""
    if not uri.startswith(SCHEME):
        return uri
    digest, _, folder = uri.removeprefix(SCHEME).partition("/")
    return f"{workspace}/codes/{digest}/versions/{quote(folder, safe='')}"


def code_uri(facade: Facade, given: str) -> str:
    """What an id of a code, or an address of a folder, stands for in our documents."""
    if found := _ID.fullmatch(given):
        return f"{SCHEME}{found[1].lower()}/{unquote(found[2])}"
    return facade.ours(given)


def _answer(facade: Facade, call: Call, uri: str, content_hash: str) -> dict[str, Any]:
    id = code_id(uri, call.workspace)
    properties = {
        "codeUri": facade.theirs(uri, call.workspace),
        "description": "",
        "isAnonymous": True,
        "isArchived": False,
        "tags": {},
        "properties": {"hash_sha256": content_hash, "hash_version": "202208"},
    }
    return resource(id, id.rpartition("/")[2], "codes/versions", properties)


def _known(facade: Facade, content_hash: str) -> str:
    if not _HASH.fullmatch(content_hash):
        return ""
    try:
        uri = facade.files.read(f"codes/{content_hash}").decode()
        facade.plane.uploads.resolve(uri)
    except (FileNotFoundError, NotFound):
        return ""
    return uri


def _upload(facade: Facade, given: str) -> str:
    """A folder that was sent to a container as one of our uploads: kept by its content, once, and for good."""
    if given.startswith(SCHEME):
        facade.plane.uploads.resolve(given)
        return given
    uri = facade.plane.assets.places.uri(given, "codeUri")
    name = unquote(uri.rstrip("/").rpartition("/")[2])
    files = []
    for file in output_files(uri):
        digest, size = hashlib.sha256(), 0
        for piece in _content(uri, file.path):
            digest.update(piece)
            size += len(piece)
        files.append((file.path, digest.hexdigest(), size))
    if not files:
        raise SpecError(f"codeUri: there is nothing at '{given}'", mend="Send the files first.")
    one_file = [path for path, _, _ in files] == [name]
    upload = Upload(
        name=name,
        files=tuple(
            UploadedFile(path=path if one_file else f"{name}/{path}", sha256=sha256, size=size)
            for path, sha256, size in files
        ),
    )
    places = {sha256: path for path, sha256, _ in files}
    for sha256 in facade.plane.uploads.add(upload):
        with facade.plane.uploads.receive(sha256) as write:
            for piece in _content(uri, places[sha256]):
                write(piece)
    if missing := facade.plane.uploads.add(upload):
        raise SpecError(f"codeUri: {len(missing)} files changed while they were read", mend="Send them again.")
    return upload.uri


def _content(uri: str, path: str) -> Any:
    found = open_output_file(uri, path)
    with found.open("rb") if isinstance(found, Path) else found as file:
        while piece := file.read(_PIECE):
            yield piece
