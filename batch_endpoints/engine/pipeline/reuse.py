"""Steps whose results are there already: from an earlier job of the same owner that did the very same.

<reuse folder>/<key>.json     which job and step has the results, and where they are; see ``step_key``
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pydantic import Field, ValidationError

from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.planning.pipeline.reuse import data_of, step_key
from batch_endpoints.settings import Settings
from batch_endpoints.specs import CommandJob, JobInput, JobOutput, PipelineJob, ScoringJob, Spec
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.content import content_digest, listing_digest
from batch_endpoints.storage.inputs.mltable import FILE, read_mltable

logger = logging.getLogger(__name__)


class Earlier(Spec):
    """A step that has run: its results may serve again."""

    job: str
    step: str
    outputs: dict[str, JobOutput]
    listings: dict[str, str] = Field(default_factory=dict, description="of each output when it was made")

    @property
    def note(self) -> str:
        return f"reused from job '{self.job}', step '{self.step}'"


class Reuse:
    """Finds and notes results of the steps of one pipeline.

    Args:
        job: its ``reuse_folder`` is "" where nothing is to be found or noted.
    """

    def __init__(self, job: PipelineJob) -> None:
        self._job, self._access = job, Access.of(job)
        self._place = writable_place(job.reuse_folder) if job.reuse_folder else None

    def key(self, step: CommandJob | ScoringJob, *, deterministic: bool) -> str:
        """What the results of a step are found by; "" where they serve nobody else."""
        if self._place is None or not deterministic:
            return ""
        try:
            cache = Settings.read().cache
            contents = {name: content_digest(uri, self._of(name), cache) for name, uri in data_of(step).items()}
            if any(self._reads_elsewhere(given) for given in step.inputs.values()):
                return ""
        except (OSError, BatchEndpointError) as error:
            logger.info("step '%s' cannot be compared with earlier ones: %s", step.name, error)
            return ""
        return step_key(step, contents) if all(contents.values()) else ""

    def find(self, key: str) -> Earlier | None:
        """Results that are still there."""
        if self._place is None or not key or self._job.settings.force_rerun:
            return None
        try:
            earlier = Earlier.model_validate_json(self._place.read(f"{key}.json"))
            if _listings(earlier.outputs) == earlier.listings:
                return earlier
        except (OSError, BatchEndpointError, ValidationError):  # as good as not noted
            pass
        return None

    def note(self, key: str, step: str, outputs: Mapping[str, JobOutput]) -> None:
        """Let the results of a step serve others."""
        if self._place is None or not key:
            return
        try:
            listings = _listings(outputs)
            mine = Earlier(job=self._job.name, step=step, outputs=dict(outputs), listings=listings)
            self._place.replace(f"{key}.json", mine.model_dump_json().encode())
        except (OSError, BatchEndpointError) as error:  # the next job runs it again
            logger.warning("the results of step '%s' cannot be noted for reuse: %s", step, error)

    def _of(self, name: str) -> Access:
        """Code was looked at when it was registered, and lies in the server's folders."""
        return Access(self._access.credentials) if name == "code" else self._access

    def _reads_elsewhere(self, given: JobInput) -> bool:
        """Is it a table of files that are not in its own folder, so that this does not name all of its content?"""
        if given.type != "mltable":
            return False
        table = read_mltable(given.path, str, self._access)
        top = str(local_path(given.path) or given.path.partition("?")[0]).rstrip("/").removesuffix(f"/{FILE}")
        return not all(f"{local_path(path.path) or path.path}".startswith(f"{top}/") for path in table.paths)


def _listings(outputs: Mapping[str, JobOutput]) -> dict[str, str]:
    return {name: listing_digest(output.path) for name, output in outputs.items()}
