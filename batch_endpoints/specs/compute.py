"""Compute: what a deployment's workers run on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from batch_endpoints.specs.base import AssetName, Description, Spec, Strings, Uri, wrong_key
from batch_endpoints.specs.numbers import MOST_NODES, MOST_SECONDS, Nodes


class NetworkSettings(Spec):
    vnet_name: str = ""
    subnet: str = ""


class Compute(Spec):
    """A cluster that grows from ``min_instances`` to ``max_instances`` nodes (amlCompute.schema.json)."""

    name: AssetName
    type: Literal["amlcompute", "kubernetes", "local"] = "amlcompute"
    description: Description = ""
    tags: Strings = Field(default_factory=dict)
    location: str = ""
    size: str = ""
    tier: Literal["dedicated", "low_priority"] = "dedicated"
    min_instances: int = Field(0, ge=0, le=MOST_NODES)
    max_instances: Nodes = 4
    idle_time_before_scale_down: int = Field(120, ge=0, le=MOST_SECONDS, description="seconds")
    identity: dict[str, Any] | None = None
    network_settings: NetworkSettings | None = None
    enable_node_public_ip: bool = True
    ssh_public_access_enabled: bool = False
    ssh_settings: dict[str, Any] | None = None
    namespace: str = Field("", description="kubernetes only")
    resource_id: Uri = Field("", description="kubernetes only")

    @model_validator(mode="after")
    def _not_upside_down(self) -> Compute:
        if self.min_instances > self.max_instances:
            raise wrong_key(
                "min_instances",
                f"min_instances is {self.min_instances}, more than max_instances ({self.max_instances})",
            )
        return self


LOCAL = Compute(name="local", type="local")
"""The cluster the server itself runs on; it always exists."""


def compute_name(reference: str) -> str:
    """``azureml:cpu-cluster`` and ``cpu-cluster`` name the same compute."""
    return reference.removeprefix("azureml:")
