"""BatchEndpoint: the stable address, and the deployment that answers there."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from batch_endpoints.specs.base import Description, EndpointName, Spec, Strings


class Defaults(Spec):
    """Where an invocation goes that names no deployment."""

    deployment_name: str = ""


class BatchEndpoint(Spec):
    """A stable HTTP address that routes jobs to its deployments (batchEndpoint.schema.json)."""

    name: EndpointName
    description: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)
    auth_mode: Literal["aad_token"] = "aad_token"
    defaults: Defaults = Defaults()
    location: str = Field("", description="kept for Azure's files; a server has one location")
    identity: dict[str, Any] | None = Field(None, description="kept for Azure's files")

    @field_validator("auth_mode", mode="before")
    @classmethod
    def _wire_spelling(cls, value: object) -> object:
        return "aad_token" if isinstance(value, str) and value.lower() == "aadtoken" else value
