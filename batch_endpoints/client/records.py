"""What a server keeps by name, with one grammar for all kinds: list, get, create, update, delete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_endpoints.client.connection import Connection, at
from batch_endpoints.errors import SpecError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from batch_endpoints.client.wire import Place

Document = dict[str, Any]
"""A spec as its YAML says it, with what the server adds: ``scoring_uri``, ``provisioning_state``."""


class Records:
    """Endpoints, the deployments of one endpoint, datastores or computes."""

    def __init__(self, connection: Connection, kind: str, *, endpoint: str = "") -> None:
        self._connection, self._kind, self._endpoint = connection, kind, endpoint
        self._root = at("endpoints", endpoint, "deployments") if kind == "deployments" else at(kind)

    def list(self) -> Iterator[Document]:
        """All of them, by name; of a versioned kind the latest version of each."""
        return self._connection.pages(self._root)

    def get(self, name: str) -> Document:
        return dict(self._connection.json("GET", self._root + at(name)))

    def create(
        self,
        source: str | Path | Mapping[str, Any],
        changes: Mapping[str, Any] | None = None,
        *,
        flags: Mapping[str, str] | None = None,
        skip_script_validation: bool = False,
    ) -> Document:
        """Create or replace what a YAML file or a mapping describes; local files in it are sent along.

        Args:
            source: a YAML file, to which relative paths in it are relative; or its content, where paths are
                relative to the current folder.
            changes: values that replace those of the source, by dotted key.
            flags: what gave the changes, by dotted key, for errors.
            skip_script_validation: send a deployment's scoring script unread.

        Raises:
            SpecError: names file, line, key, and what was expected.
            InputError: a local file or folder that is named is missing or empty.
        """
        from batch_endpoints.client.wire import check_script

        changes = changes or {}
        document, place = self._read(source, changes, dict.fromkeys(changes, "changes") if flags is None else flags)
        if not skip_script_validation:
            check_script(document, place)
        unread = {"skip_script_validation": "true"} if skip_script_validation else None
        method, path = self._place(document)
        return dict(self._connection.json(method, path, body=self._with_files(document, place), params=unread))

    def update(self, name: str, patch: Mapping[str, Any]) -> Document:
        """Change some keys (RFC 7396: nested mappings are merged, None removes)."""
        return dict(self._connection.json("PATCH", self._root + at(name), body=dict(patch)))

    def delete(self, name: str) -> None:
        self._connection.json("DELETE", self._root + at(name))

    def _read(
        self, source: str | Path | Mapping[str, Any], changes: Mapping[str, Any], flags: Mapping[str, str]
    ) -> tuple[Document, Place]:
        """The checked document, and where it was given."""
        from batch_endpoints.client.wire import Place
        from batch_endpoints.specs import Origins, check, read_yaml_with_origins, set_value, to_document

        if isinstance(source, str | Path):
            file = Path(source)
            base = file.absolute().parent
            document, origins = read_yaml_with_origins(file)
        else:
            base, document, origins = Path.cwd(), dict(source), Origins()
        for key, value in changes.items():
            set_value(document, key, value)
        origins = origins.changed(flags)
        return to_document(check(self._spec(), document, where=origins)), Place(base, origins)

    def _spec(self) -> TypeAdapter[Any]:
        from pydantic import TypeAdapter

        from batch_endpoints import specs

        kinds: dict[str, TypeAdapter[Any]] = {
            "endpoints": TypeAdapter(specs.BatchEndpoint),
            "deployments": specs.DEPLOYMENT,
            "models": TypeAdapter(specs.Model),
            "data": TypeAdapter(specs.Data),
            "environments": TypeAdapter(specs.Environment),
            "components": specs.COMPONENT,
            "datastores": TypeAdapter(specs.Datastore),
            "computes": TypeAdapter(specs.Compute),
        }
        return kinds[self._kind]

    def _with_files(self, document: Document, place: Place) -> Document:
        """The document with its endpoint and with what takes the place of local paths."""
        from batch_endpoints.client.transfer import upload
        from batch_endpoints.client.wire import is_local, with_uploads

        if self._endpoint:
            document = {**document, "endpoint_name": self._endpoint}
        path = document.get("path", "")
        if self._kind in ("models", "data") and is_local(path):
            in_place = self._kind == "data" and self._connection.on_the_servers_machine()
            found = place.below("path").path(path)
            document = {
                **document,
                "path": found.absolute().as_uri() if in_place else upload(self._connection, found),
            }
        if self._kind == "components" or (self._kind == "deployments" and document.get("type") == "pipeline"):
            from batch_endpoints.client.pipeline_files import check_components

            check_components(document, place)
        return with_uploads(document, place, lambda path, skip: upload(self._connection, path, skip=skip))

    def _place(self, document: Document) -> tuple[str, str]:
        """Method and path that create it."""
        return "PUT", self._root + at(_name(document))


class Versions(Records):
    """Models, data, environments or components: each name has versions, which never change."""

    def get(self, name: str, version: str = "latest") -> Document:
        return dict(self._connection.json("GET", self._version(name, version or "latest")))

    def versions(self, name: str) -> Iterator[Document]:
        """All versions of one name, newest first."""
        return self._connection.pages(self._root + at(name, "versions"))

    def update(self, name: str, patch: Mapping[str, Any], version: str = "latest") -> Document:
        """Change what may change in a version that exists: its description, tags and properties."""
        document = merged(self.get(name, version), patch)
        return dict(self._connection.json("PUT", self._version(name, document["version"]), body=document))

    def delete(self, name: str, version: str = "latest") -> None:
        self._connection.json("DELETE", self._version(name, version or "latest"))

    def _version(self, name: str, version: str) -> str:
        return self._root + at(name, "versions", version)

    def _place(self, document: Document) -> tuple[str, str]:
        name, version = _name(document), document.get("version", "")
        return ("PUT", self._version(name, version)) if version else ("POST", self._root)


def merged(document: Document, patch: Mapping[str, Any]) -> Document:
    """The document with a JSON merge patch (RFC 7396) applied."""
    result = dict(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result


def merge_patch(before: Document, after: Document) -> Document:
    """The patch that makes ``after`` of ``before``."""
    patch: Document = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := merge_patch(old, value):
                patch[key] = inner
        elif key not in before or value != old:
            patch[key] = value
    return patch


def _name(document: Document) -> str:
    if not document.get("name"):
        raise SpecError("'name' is missing", mend="Write it into the YAML, or give --name.")
    return str(document["name"])
