"""New jobs: of a deployment behind an endpoint, or of a pipeline by itself, each frozen with all that it needs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial

from batch_endpoints.control_plane.assets import Assets
from batch_endpoints.control_plane.data_references import places
from batch_endpoints.control_plane.job_parts import frozen_deployment, job_inputs, job_outputs
from batch_endpoints.control_plane.pipeline_jobs import Asked, PipelineJobs, check_outputs_free, deployed_component
from batch_endpoints.control_plane.records import everything, found
from batch_endpoints.errors import Conflict
from batch_endpoints.interfaces.records import AnyDeployment, RecordStore
from batch_endpoints.planning.overrides import effective_deployment
from batch_endpoints.planning.routing import resolve_deployment
from batch_endpoints.specs import (
    DATA_TYPES,
    BatchJob,
    Compute,
    Invocation,
    ModelDeployment,
    PipelineJob,
    ScoringJob,
)
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.addresses import local_path


class NewJobs:
    """Makes the records of jobs; everything that can be known to fail fails here, before there is a job."""

    def __init__(
        self,
        store: RecordStore,
        assets: Assets,
        jobs_root: str,
        check_input: Callable[[str, str, Access], None],
        now: Callable[[], datetime],
    ) -> None:
        self._store, self._assets, self._jobs_root = store, assets, jobs_root
        self._check_input, self._now = check_input, now
        self._pipelines = PipelineJobs(assets, check_input, f"{jobs_root.rstrip('/')}-reused")

    def of_endpoint(self, endpoint_name: str, invocation: Invocation, requested: str, invoker: str) -> BatchJob:
        """A job of the deployment that the request names, or of the endpoint's default.

        Raises: as ``Jobs.invoke``.
        """
        endpoint = self._store.endpoint(endpoint_name)
        names = [d.name for d in everything(lambda page: self._store.deployments(endpoint_name, page))]
        chosen = self._store.deployment(
            endpoint_name, resolve_deployment(endpoint, names, requested or invocation.deployment)
        )
        if isinstance(chosen, ModelDeployment):
            return self._made("batchjob", invocation, invoker, chosen, partial(self._scoring, chosen, invocation))
        asked = Asked(deployed_component(self._assets, chosen), chosen.settings, invocation)
        return self._made("pipelinejob", invocation, invoker, chosen, partial(self._pipelines.frozen, asked))

    def of_pipeline(self, pipeline: Asked, invoker: str) -> BatchJob:
        """A job of a pipeline that has no endpoint; raises as ``Jobs.invoke``."""
        freeze = partial(self._pipelines.frozen, pipeline)
        return self._made("pipelinejob", pipeline.invocation, invoker, None, freeze)

    def _made(
        self,
        kind: str,
        invocation: Invocation,
        invoker: str,
        deployment: AnyDeployment | None,
        freeze: Callable[[str, str, str, datetime], ScoringJob | PipelineJob],
    ) -> BatchJob:
        """The record of a new job.

        Args:
            kind: how a name begins that is made up.
            freeze: makes what it is to do, of its name, endpoint, invoker and the time.
        """
        uid = str(uuid.uuid4())
        name = invocation.name or f"{kind}-{uid}"
        if invocation.name and found(lambda: self._store.job(name)):
            raise Conflict(f"a job '{name}' exists already", mend="Name it otherwise, or leave the name out.")
        now, endpoint = self._now(), deployment.endpoint_name if deployment else ""
        spec, folder = freeze(name, endpoint, invoker, now), self._folder(uid)
        if not spec.overwrite:
            check_outputs_free(spec, folder)
        return BatchJob(
            uid=uid,
            name=name,
            endpoint_name=endpoint,
            deployment_name=deployment.name if deployment else "",
            spec=spec,
            folder=folder,
            display_name=invocation.display_name,
            description=invocation.description,
            experiment_name=invocation.experiment_name,
            tags=invocation.tags,
            properties=invocation.properties,
            created_at=now,
            created_by=invoker,
            modified_at=now,
        )

    def _scoring(
        self, chosen: ModelDeployment, invocation: Invocation, name: str, endpoint: str, invoker: str, now: datetime
    ) -> ScoringJob:
        inputs = job_inputs(self._assets, invocation.inputs)
        outputs = job_outputs(self._assets, invocation)
        effective = effective_deployment(chosen, invocation)
        frozen = frozen_deployment(self._assets, effective)
        uris = list(places(frozen, inputs, outputs))
        data = next(given for given in inputs.values() if given.type in DATA_TYPES)
        table = self._assets.places.table(data, self._assets.places.access(uris))
        access = self._assets.places.access([*uris, *(entry.path for entry in (table.paths if table else ()))])
        self._check_input(table.paths[0].path if table else data.path, data.type, access)
        return ScoringJob(
            name=name,
            endpoint_name=endpoint,
            deployment=frozen,
            compute=self._compute(effective.compute),
            inputs=inputs,
            table=table,
            outputs=outputs,
            credentials=dict(access.credentials),
            open_folders=access.folders,
            overwrite=invocation.overwrite,
            invoker=invoker,
            created_at=now,
        )

    def _folder(self, uid: str) -> str:
        """Where a new job gets its folder."""
        root = local_path(self._jobs_root)
        return (root / uid).as_uri() if root else f"{self._jobs_root}/{uid}"

    def _compute(self, name: str) -> Compute:
        compute = self._assets.get("computes", name)
        assert isinstance(compute, Compute)
        return compute
