"""What deployments and jobs are made of: models, data, datastores, environments; and how they are named."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from batch_endpoints.errors import SpecError
from batch_endpoints.specs.base import AssetName, AtMost, Description, OptionalName, Spec, Strings, Uri
from batch_endpoints.specs.limits import LONGEST_NAME

SECRET_REFERENCE = re.compile(r"(env|file):.+")
_ROOT = re.compile(r"([a-z][a-z0-9+.-]*:)?(//localhost)?/*", re.IGNORECASE)  # whose slashes are all there is of it


def _text(value: object) -> object:
    return str(value) if isinstance(value, bool | int | float) else value


Version = Annotated[str, BeforeValidator(_text), AtMost(LONGEST_NAME)]


class AssetReference(Spec):
    """``azureml:name:version``, ``azureml:name@label``, ``azureml:name``, each also without ``azureml:``."""

    name: str
    version: str = ""
    label: str = ""

    def __str__(self) -> str:
        return f"azureml:{self.name}" + (f":{self.version}" if self.version else f"@{self.label or 'latest'}")


def parse_reference(text: str) -> AssetReference:
    """Read a reference to an asset in any form that Azure ML's files use.

    Raises:
        SpecError: it names a registry (there are none here) or is no reference.
    """
    arm = re.fullmatch(
        r"(?:(?:azureml:)?/|azureml://)(?:subscriptions|locations)/.+/(\w+)/([^/]+)/versions/([^/]+)", text
    )
    if arm:
        return AssetReference(name=arm[2], version=arm[3])
    if text.startswith("azureml://registries/"):
        raise SpecError(
            f"'{text}' names a registry, and there are no registries here",
            mend="Register the asset on this server and name it as azureml:<name>:<version>.",
        )
    plain = re.fullmatch(r"(?:azureml:)?([^:@/]+)(?::([^:@/]+)|@([^:@/]+))?", text)
    if not plain:
        raise SpecError(
            f"'{text}' is not a reference to an asset",
            mend="Write azureml:<name>:<version> or azureml:<name>@latest.",
        )
    return AssetReference(name=plain[1], version=plain[2] or "", label=plain[3] or "")


class Asset(Spec):
    """A named, versioned thing that deployments and jobs refer to."""

    name: OptionalName = ""
    version: Version = ""
    description: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)


class Model(Asset):
    """A model: a folder or file, and whether MLflow knows how to load it."""

    path: Uri = ""
    type: Literal["custom_model", "mlflow_model", "triton_model"] = "custom_model"
    flavors: dict[str, Any] = Field(default_factory=dict)
    stage: Description = ""


class Data(Asset):
    """A data asset: a URI with a name."""

    path: Uri
    type: Literal["uri_file", "uri_folder", "mltable"] = "uri_folder"


class Environment(Asset):
    """Where the user's code runs: its interpreter and packages."""

    image: Uri = ""
    conda_file: str | dict[str, Any] | None = None
    build: dict[str, Any] | None = None
    os_type: Literal["linux", "windows"] = "linux"
    inference_config: dict[str, Any] | None = None
    requirements: str | list[str] | None = Field(None, description="ours: a requirements file, or its lines")
    python: Uri = Field("", description="ours: path of an interpreter, used as it is unless there are requirements")

    @property
    def conda_dependencies(self) -> dict[str, Any] | None:
        """The conda file's content where it has been read; None where there is none."""
        return self.conda_file if isinstance(self.conda_file, dict) else None


class Credentials(Spec):
    """Where a datastore's secrets are found; never the secrets themselves."""

    account_key: str = ""
    sas_token: str = ""
    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    certificate: str = ""
    thumbprint: str = ""
    resource_url: str = ""
    authority_url: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = Field("", description="ours: of temporary keys for S3")
    connection_string: str = Field("", description="ours: of an account of Azure's blob storage")
    service_account_key: str = Field("", description="ours: the JSON key of a service account of Google's cloud")

    @field_validator(
        *("account_key", "sas_token", "connection_string", "client_secret", "certificate"),
        *("secret_access_key", "session_token", "service_account_key"),
    )
    @classmethod
    def _only_references(cls, value: str) -> str:
        if value and not SECRET_REFERENCE.fullmatch(value):
            # the value itself must not reach the message
            raise ValueError("secrets are not kept here: give env:<variable> or file:<path> to read them from")
        return value


class Datastore(Spec):
    """A named place for data: a URI prefix and how to get in."""

    name: AssetName
    type: Literal["azure_blob", "azure_data_lake_gen2", "azure_data_lake_gen1", "azure_file", "one_lake", "uri"] = (
        "azure_blob"
    )
    description: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)
    account_name: Uri = ""
    container_name: Uri = ""
    filesystem: Uri = ""
    file_share_name: Uri = ""
    store_name: Uri = ""
    endpoint: str = "core.windows.net"
    protocol: Literal["https", "http", "wasbs", "wasb", "abfss", "abfs"] = "https"
    uri: Uri = Field("", description="ours: the prefix, for type uri (s3://bucket/folder, file:///data)")
    credentials: Credentials | None = None

    @model_validator(mode="after")
    def _has_a_place(self) -> Datastore:
        needed = {
            "azure_blob": ("account_name", "container_name"),
            "azure_data_lake_gen2": ("account_name", "filesystem"),
            "azure_data_lake_gen1": ("store_name",),
            "azure_file": ("account_name", "file_share_name"),
            "uri": ("uri",),
        }.get(self.type, ())
        missing = [key for key in needed if not getattr(self, key)]
        if missing:
            raise ValueError(f"a datastore of type {self.type} needs {' and '.join(missing)}")
        return self

    @property
    def prefix(self) -> str:
        """The URI that ``azureml://datastores/<name>/paths/`` stands for; a final slash has only a root."""
        match self.type:
            case "azure_blob":
                return f"abfss://{self.container_name}@{self.account_name}.dfs.{self.endpoint}"
            case "azure_data_lake_gen2":
                return f"abfss://{self.filesystem}@{self.account_name}.dfs.{self.endpoint}"
            case "azure_file":
                return f"https://{self.account_name}.file.{self.endpoint}/{self.file_share_name}"
            case "azure_data_lake_gen1":
                return f"adl://{self.store_name}.azuredatalakestore.net"
            case _:
                return self.uri if _ROOT.fullmatch(self.uri) else self.uri.rstrip("/")


def datastore_path(uri: str) -> tuple[str, str] | None:
    """``azureml://datastores/<name>/paths/<path>`` (or its long form) -> (name, path); None for other URIs."""
    found = re.fullmatch(r"azureml://(?:.+/)?datastores/([^/]+)/paths/(.*)", uri, re.DOTALL)
    return (found[1], found[2]) if found else None
