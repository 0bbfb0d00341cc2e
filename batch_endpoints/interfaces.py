"""The seams: what the use cases ask for, and what adapters promise. Each has one contract test body."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, Literal, NamedTuple, Protocol, TypeVar

from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.resources import ClusterShape, WorkerPlan
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


class RecordStore(Protocol):
    """Records of endpoints, deployments, assets and jobs; every method is one transaction.

    Saving replaces. Asking for what is not there raises NotFound, which names what there is. Lists are ordered
    by name (jobs: newest first) and stay stable while others write.

    Updating reads, changes and writes one record with nobody in between. ``change`` is pure and may be called again;
    it keeps the record's name, and what it raises is passed on and nothing is written.
    """

    def save_endpoint(self, endpoint: BatchEndpoint) -> BatchEndpoint:
        """Names of endpoints and deployments are one whatever the case of their letters, as Azure's are.

        Returns: what was stored, under the name in the case it was created with; it is found by any.
        """

    def endpoint(self, name: str) -> BatchEndpoint: ...

    def endpoints(self, page: Page = ...) -> Listing[BatchEndpoint]: ...

    def update_endpoint(self, name: str, change: Callable[[BatchEndpoint], BatchEndpoint]) -> BatchEndpoint: ...

    def delete_endpoint(self, name: str) -> None:
        """Delete it with its deployments; its jobs stay."""

    def save_deployment(self, deployment: AnyDeployment) -> AnyDeployment:
        """As ``save_endpoint``; raises NotFound where there is no endpoint ``deployment.endpoint_name``."""

    def deployment(self, endpoint: str, name: str) -> AnyDeployment: ...

    def deployments(self, endpoint: str, page: Page = ...) -> Listing[AnyDeployment]: ...

    def update_deployment(
        self, endpoint: str, name: str, change: Callable[[AnyDeployment], AnyDeployment]
    ) -> AnyDeployment: ...

    def delete_deployment(self, endpoint: str, name: str) -> None: ...

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
        oldest_first: bool = False,
        page: Page = ...,
    ) -> Listing[BatchJob]:
        """Jobs, newest first; each filter that is empty lets all through."""

    def update_job(self, name: str, change: Callable[[BatchJob], BatchJob]) -> BatchJob: ...


Found = InputFile | SkippedFile
"""What a walk finds: a file, or something that is none, with the reason."""


class Walk(NamedTuple):
    """The files of a place, in no order; each has its path below ``root``: a URI, or a path of this machine."""

    root: str
    found: Iterator[Found]


class PathPattern(Protocol):
    """Which files are wanted; paths are relative, with forward slashes."""

    def matches(self, path: str) -> bool: ...

    def may_hold_matches(self, folder: str) -> bool:
        """Can there be wanted files below this folder?"""


class RangeReader(Protocol):
    """A file whose bytes are asked for where they are needed; all of them are of one version of it."""

    def read(self, size: int = ..., /) -> bytes: ...

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def ahead(self) -> Iterator[bytes]:
        """The rest, piece by piece: the next ones are on their way while one is looked at."""

    def will_need(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Ask for these now, several at once: each has a start and an end. Those of an earlier call are let go of."""


class Place(Protocol):
    """What a URI names, wherever it is: a folder with the files below it, or one file.

    Paths are relative to it, with forward slashes; "" is the file that the URI itself names. What goes wrong is an
    OSError: FileNotFoundError where nothing is there, TimeoutError where it may be there later.
    """

    @property
    def name(self) -> str:
        """The last part of its address."""

    @property
    def disk(self) -> Path | None:
        """Where it is on this machine's disk; None where files have to be fetched."""

    def walk(self, pattern: PathPattern | None = None) -> Walk:
        """All files below a folder, or the one file that it is, with its folder as the root.

        Raises:
            FileNotFoundError: nothing is there.
            Refused: it is not open.
        """

    def exists(self, path: str = "") -> bool: ...

    def size(self, path: str = "") -> int:
        """In bytes."""

    def read(self, path: str) -> bytes: ...

    def open_input(self, path: str) -> BinaryIO:
        """A file that will be read from its begin to its end."""

    def open_ranges(self, path: str) -> RangeReader | None:
        """A file that will be read here and there; None where it has to be fetched for that."""

    def fetch(self, path: str, scratch: Path) -> Path:
        """A file on this machine's disk: in place where it is there, otherwise a copy below ``scratch``."""


class WritablePlace(Place, Protocol):
    """A folder that files are written to: of a job, an output, or uploads."""

    def replace(self, path: str, data: bytes) -> None:
        """Write a whole file; readers see the old or the new content, never a part."""

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write a file that is not there. Of all who try, one gets True, and its content stays."""

    def open_output(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A new file that appears, whole, when the context ends well."""

    def names(self, folder: str) -> list[str]:
        """All files below a folder, relative to it, sorted; none where there is no folder."""

    def delete(self, path: str) -> None:
        """Remove a file; harmless where there is none."""

    def uri_of(self, path: str) -> str:
        """What every node can open it by."""

    def put_folder(self, folder: str, files: Mapping[str, str]) -> None:
        """Make a folder of files that are here under other names; it is there when all of it is.

        Args:
            files: path below the folder -> the file; neither will ever be changed.
        """

    def has_folder(self, folder: str) -> bool:
        """Was it put, all of it?"""

    def tidy(self, folder: str) -> None:
        """Remove a folder that has become empty, where folders are more than parts of names."""


LaunchStatus = Literal["absent", "pending", "running", "succeeded", "failed", "stopped"]


@dataclass(frozen=True)
class Launch:
    """What has become of one driver process."""

    status: LaunchStatus
    message: str = ""


class JobLauncher(Protocol):
    """Starts drivers somewhere else and says what became of them."""

    def launch(self, launch_id: str, folder: str) -> None:
        """Start ``python -m batch_endpoints.engine <folder>``; nothing happens if this id was launched before."""

    def look(self, launch_id: str) -> Launch: ...

    def stop(self, launch_id: str) -> None:
        """Ask it to end; harmless where it has ended or never was."""


@dataclass(frozen=True)
class BundleOutcome:
    """What became of (a part of) one bundle; the rows themselves are in its parts."""

    bundle: int
    mini_batches: int
    items_succeeded: int
    items_failed: int
    rows: int
    rows_failed: int
    fatal: str = ""  # JSON of a JobError where the job must fail at once
    left: str = (
        ""  # JSON of a commit that does not count: what had failed of a mini-batch that was left because of that
    )


class RunListener(Protocol):
    """Hears what a runner has to tell besides its outcomes."""

    def worker_up(self) -> None:
        """A worker is there, perhaps the first one."""

    def note(self, note: str) -> None:
        """Something a user should know of."""


class MiniBatchRunner(Protocol):
    """Runs bundles on workers, somewhere."""

    def shape(self) -> ClusterShape: ...

    def prepare(self, workers: WorkerPlan, input_root: str, listener: RunListener | None = None) -> None:
        """Bring up workers ahead of ``run``, which will be given the same: there is work for all of them, in parts of
        files."""

    def run(
        self, bundles: Sequence[Bundle], workers: WorkerPlan, input_root: str, listener: RunListener | None = None
    ) -> Generator[BundleOutcome, None, None]:
        """Outcomes as they come, in any order. Closing the generator stops the work."""

    def stop(self) -> None:
        """Let ``run`` yield nothing more and stop the work, whatever it is at; from any thread, more than once."""

    def close(self) -> None:
        """End what was prepared, if there was no ``run``."""
