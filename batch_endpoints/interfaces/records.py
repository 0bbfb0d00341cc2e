"""Records of endpoints, deployments, assets and jobs: what a store of them promises, noun by noun."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import (
    BatchEndpoint,
    BatchJob,
    CommandComponent,
    Compute,
    Data,
    Datastore,
    Environment,
    JobStatus,
    Model,
    ModelDeployment,
    ParallelComponent,
    PipelineComponent,
    PipelineComponentDeployment,
    SkippedFile,
)

AnyDeployment = ModelDeployment | PipelineComponentDeployment
AnyAsset = Model | Data | Datastore | Environment | CommandComponent | ParallelComponent | PipelineComponent | Compute
AssetKind = Literal["models", "data", "datastores", "environments", "components", "computes"]
VERSIONED: tuple[AssetKind, ...] = ("models", "data", "environments", "components")
NOUNS: dict[AssetKind, str] = {
    "models": "model",
    "data": "data asset",
    "datastores": "datastore",
    "environments": "environment",
    "components": "component",
    "computes": "compute",
}
"""What people call one of each kind."""

T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """Which part of a list: at most ``top`` entries behind the one whose token is ``after``."""

    top: int = 50
    after: str = ""


@dataclass(frozen=True)
class Listing(Generic[T]):
    """One page of a list; ``next`` is the token to ask for more, "" at the end."""

    items: Sequence[T]
    next: str = ""


class EndpointRecords(Protocol):
    """Endpoints by name."""

    def save_endpoint(self, endpoint: BatchEndpoint) -> BatchEndpoint:
        """Names of endpoints and deployments are one whatever the case of their letters, as Azure's are.

        Returns: what was stored, under the name in the case it was created with; it is found by any.
        """

    def endpoint(self, name: str) -> BatchEndpoint: ...

    def endpoints(self, page: Page = ...) -> Listing[BatchEndpoint]: ...

    def update_endpoint(self, name: str, change: Callable[[BatchEndpoint], BatchEndpoint]) -> BatchEndpoint: ...

    def delete_endpoint(self, name: str) -> None:
        """Delete it with its deployments; its jobs stay."""


class DeploymentRecords(Protocol):
    """Deployments of each endpoint by name."""

    def save_deployment(self, deployment: AnyDeployment) -> AnyDeployment:
        """As ``save_endpoint``; raises NotFound where there is no endpoint ``deployment.endpoint_name``."""

    def deployment(self, endpoint: str, name: str) -> AnyDeployment: ...

    def deployments(self, endpoint: str, page: Page = ...) -> Listing[AnyDeployment]: ...

    def update_deployment(
        self, endpoint: str, name: str, change: Callable[[AnyDeployment], AnyDeployment]
    ) -> AnyDeployment: ...

    def delete_deployment(self, endpoint: str, name: str) -> None: ...


class AssetRecords(Protocol):
    """Assets of each kind by name, and by version where the kind has versions."""

    def save_asset(self, kind: AssetKind, asset: AnyAsset) -> AnyAsset:
        """Store it; a versioned asset without a version gets the next number.

        Returns: what was stored, with its version.
        """

    def asset(self, kind: AssetKind, name: str, version: str = "") -> AnyAsset:
        """One version; "" and ``latest`` are the one created last (unversioned kinds have just one)."""

    def assets(self, kind: AssetKind, page: Page = ...) -> Listing[AnyAsset]:
        """The latest version of each name."""

    def versions(self, kind: AssetKind, name: str, page: Page = ...) -> Listing[AnyAsset]:
        """All versions of one name, newest first; NotFound where there is none."""

    def delete_asset(self, kind: AssetKind, name: str, version: str = "") -> None:
        """Delete one version; with "" all of them."""


class JobRecords(Protocol):
    """Jobs by name, and by the request that has made one."""

    def add_job(self, job: BatchJob, request_id: str = "", request_body: str = "") -> BatchJob:
        """Store a new job, or return the one that this request id has made at this endpoint before.

        Of concurrent calls with one request id exactly one stores its job, and all return it.

        Args:
            request_body: the hash of what was asked for; "" where it is not known, which fits any other.

        Raises:
            Conflict: another job has this name, or the request id belongs to another body.
        """

    def job_of_request(self, endpoint: str, request_id: str, request_body: str = "") -> BatchJob | None:
        """The job that a request id has made at an endpoint, if any; raises as ``add_job``."""

    def job(self, name: str) -> BatchJob: ...

    def jobs(
        self,
        *,
        endpoint: str = "",
        deployment: str = "",
        statuses: Iterable[JobStatus] = (),
        parent: str = "",
        oldest_first: bool = False,
        page: Page = ...,
    ) -> Listing[BatchJob]:
        """Jobs, newest first; each filter that is empty lets all through.

        Args:
            parent: the job whose steps are wanted; "" for jobs that are no steps.
        """

    def update_job(self, name: str, change: Callable[[BatchJob], BatchJob]) -> BatchJob: ...


class RecordStore(EndpointRecords, DeploymentRecords, AssetRecords, JobRecords, Protocol):
    """Records of endpoints, deployments, assets and jobs; every method is one transaction.

    Saving replaces. Asking for what is not there raises NotFound, which names what there is. Lists are ordered
    by name (jobs: newest first) and stay stable while others write.

    Updating reads, changes and writes one record; no other writer comes in between. ``change`` is pure and may be
    called again; it keeps the record's name, and what it raises is passed on and nothing is written.
    """


Found = InputFile | SkippedFile
"""What a walk finds: a file, or something that is none, with the reason."""
