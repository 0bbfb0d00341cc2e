"""Records in memory: for tests, and for trying things out. They end with the process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterable

from batch_endpoints.interfaces.records import AnyAsset, AnyDeployment, AssetKind, Listing, Page
from batch_endpoints.records import wording
from batch_endpoints.records.paging import FIRST_PAGE, listing, position
from batch_endpoints.records.versions import is_latest, version_of, with_version
from batch_endpoints.specs import BatchEndpoint, BatchJob, JobStatus


class MemoryRecordStore:
    """A RecordStore in dictionaries, behind one lock."""

    def __init__(self) -> None:
        # a lock that its holder may take again: methods call each other
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)  # of assets and jobs, in the order in which they were created
        self._endpoints: dict[str, BatchEndpoint] = {}
        self._deployments: dict[str, dict[str, AnyDeployment]] = {}
        self._assets: dict[AssetKind, dict[str, dict[str, tuple[int, AnyAsset]]]] = {}
        self._jobs: dict[str, tuple[int, BatchJob]] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}  # (endpoint, id): (job's name, body)

    def save_endpoint(self, endpoint: BatchEndpoint) -> BatchEndpoint:
        with self._lock:
            endpoint = endpoint.model_copy(update={"name": _spelled(endpoint.name, self._endpoints)})
            self._endpoints[endpoint.name] = endpoint
            self._deployments.setdefault(endpoint.name, {})
            return endpoint

    def endpoint(self, name: str) -> BatchEndpoint:
        with self._lock:
            name = _spelled(name, self._endpoints)
            if name not in self._endpoints:
                raise wording.no_endpoint(name, sorted(self._endpoints))
            return self._endpoints[name]

    def endpoints(self, page: Page = FIRST_PAGE) -> Listing[BatchEndpoint]:
        with self._lock:
            return listing([found for found in sorted(self._endpoints.items()) if found[0] > page.after], page)

    def update_endpoint(self, name: str, change: Callable[[BatchEndpoint], BatchEndpoint]) -> BatchEndpoint:
        with self._lock:
            known = self.endpoint(name)
            changed = change(known)
            self._endpoints[known.name] = changed
            return changed

    def delete_endpoint(self, name: str) -> None:
        with self._lock:
            name = self.endpoint(name).name
            del self._endpoints[name], self._deployments[name]

    def save_deployment(self, deployment: AnyDeployment) -> AnyDeployment:
        with self._lock:
            endpoint = self.endpoint(deployment.endpoint_name).name
            name = _spelled(deployment.name, self._deployments[endpoint])
            deployment = deployment.model_copy(update={"endpoint_name": endpoint, "name": name})
            self._deployments[endpoint][name] = deployment
            return deployment

    def deployment(self, endpoint: str, name: str) -> AnyDeployment:
        with self._lock:
            endpoint = self.endpoint(endpoint).name
            name = _spelled(name, self._deployments[endpoint])
            if name not in self._deployments[endpoint]:
                raise wording.no_deployment(endpoint, name, sorted(self._deployments[endpoint]))
            return self._deployments[endpoint][name]

    def deployments(self, endpoint: str, page: Page = FIRST_PAGE) -> Listing[AnyDeployment]:
        with self._lock:
            endpoint = self.endpoint(endpoint).name
            found = sorted(self._deployments[endpoint].items(), key=lambda item: item[0])
            return listing([item for item in found if item[0] > page.after], page)

    def update_deployment(
        self, endpoint: str, name: str, change: Callable[[AnyDeployment], AnyDeployment]
    ) -> AnyDeployment:
        with self._lock:
            known = self.deployment(endpoint, name)
            changed = change(known)
            self._deployments[known.endpoint_name][known.name] = changed
            return changed

    def delete_deployment(self, endpoint: str, name: str) -> None:
        with self._lock:
            known = self.deployment(endpoint, name)
            del self._deployments[known.endpoint_name][known.name]

    def save_asset(self, kind: AssetKind, asset: AnyAsset) -> AnyAsset:
        with self._lock:
            versions = self._assets.setdefault(kind, {}).setdefault(asset.name, {})
            asset = with_version(kind, asset, versions)
            version = version_of(asset)
            # one that is replaced keeps its place: it does not become the latest
            number = versions[version][0] if version in versions else next(self._numbers)
            versions[version] = number, asset
            return asset

    def asset(self, kind: AssetKind, name: str, version: str = "") -> AnyAsset:
        with self._lock:
            newest_first = self._newest_first(kind, name)
            for _, asset in newest_first:
                if is_latest(version) or version_of(asset) == version:
                    return asset
            raise wording.no_version(kind, name, version, [version_of(asset) for _, asset in newest_first])

    def assets(self, kind: AssetKind, page: Page = FIRST_PAGE) -> Listing[AnyAsset]:
        with self._lock:
            names = sorted(name for name in self._assets.get(kind, {}) if name > page.after)
            return listing([(name, self.asset(kind, name)) for name in names], page)

    def versions(self, kind: AssetKind, name: str, page: Page = FIRST_PAGE) -> Listing[AnyAsset]:
        behind = position(page)
        with self._lock:
            newest_first = self._newest_first(kind, name)
            return listing([found for found in newest_first if behind is None or found[0] < behind], page)

    def delete_asset(self, kind: AssetKind, name: str, version: str = "") -> None:
        with self._lock:
            named = self.asset(kind, name, version)
            if version:
                del self._assets[kind][name][version_of(named)]
            if not version or not self._assets[kind][name]:
                del self._assets[kind][name]

    def add_job(self, job: BatchJob, request_id: str = "", request_body: str = "") -> BatchJob:
        with self._lock:
            if before := self.job_of_request(job.endpoint_name, request_id, request_body):
                return before
            if job.name in self._jobs:
                raise wording.job_exists(job.name)
            self._jobs[job.name] = next(self._numbers), job
            if request_id:
                self._requests[job.endpoint_name, request_id] = job.name, request_body
            return job

    def job_of_request(self, endpoint: str, request_id: str, request_body: str = "") -> BatchJob | None:
        with self._lock:
            if (endpoint, request_id) not in self._requests:
                return None
            name, body = self._requests[endpoint, request_id]
            if request_body and body and body != request_body:
                raise wording.other_body(request_id, name)
            return self.job(name)

    def job(self, name: str) -> BatchJob:
        with self._lock:
            if name not in self._jobs:
                raise wording.no_job(name, list(reversed(self._jobs))[: wording.SHOWN])
            return self._jobs[name][1]

    def jobs(
        self,
        *,
        endpoint: str = "",
        deployment: str = "",
        statuses: Iterable[JobStatus] = (),
        parent: str = "",
        oldest_first: bool = False,
        page: Page = FIRST_PAGE,
    ) -> Listing[BatchJob]:
        behind = position(page)
        wanted = frozenset(statuses)
        with self._lock:
            jobs = list(self._jobs.values()) if oldest_first else list(reversed(self._jobs.values()))
        found = [
            (number, job)
            for number, job in jobs
            if job.parent_job_name == parent
            and (not endpoint or job.endpoint_name == endpoint)
            and (not deployment or job.deployment_name == deployment)
            and (not wanted or job.status in wanted)
            and (behind is None or (number > behind if oldest_first else number < behind))
        ]
        return listing(found, page)

    def update_job(self, name: str, change: Callable[[BatchJob], BatchJob]) -> BatchJob:
        with self._lock:
            changed = change(self.job(name))
            self._jobs[name] = self._jobs[name][0], changed
            return changed

    def _newest_first(self, kind: AssetKind, name: str) -> list[tuple[int, AnyAsset]]:
        versions = self._assets.get(kind, {}).get(name)
        if not versions:
            raise wording.no_asset(kind, name, sorted(self._assets.get(kind, {})))
        return sorted(versions.values(), key=lambda found: found[0], reverse=True)


def _spelled(name: str, known: Collection[str]) -> str:
    """The name as it is known, whatever the case of its letters; the name itself where it is not."""
    return name if name in known else next((one for one in sorted(known) if one.lower() == name.lower()), name)
