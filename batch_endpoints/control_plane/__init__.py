"""The use cases over records: what a client can ask of a server, whichever way it comes in.

``endpoints``, ``deployments``, ``assets`` and ``jobs`` are the nouns; ``uploads`` takes in what they refer to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from batch_endpoints.control_plane.assets import Assets
from batch_endpoints.control_plane.deployments import Deployments
from batch_endpoints.control_plane.endpoints import Endpoints
from batch_endpoints.control_plane.jobs import Jobs
from batch_endpoints.control_plane.uploads import Uploads
from batch_endpoints.interfaces.records import RecordStore
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.inputs.listing import check_readable

__all__ = ["ControlPlane"]


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class ControlPlane:
    """All use cases, over one store of records."""

    def __init__(
        self,
        store: RecordStore,
        *,
        jobs_root: str | Path,
        uploads_root: str | Path,
        local_paths: bool = True,
        check_input: Callable[[str, str, Access], None] = check_readable,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """
        Args:
            store: the records.
            jobs_root: URI or path of the folder where each job gets its own.
            uploads_root: URI or path of the folder where uploads are kept.
            local_paths: may clients name any path on this server's disk? Otherwise only below a registered datastore.
            check_input: called with an input's URI and type and the job's credentials; raises InputError where there
                is nothing to read.
            now: the time, in UTC.
        """
        self.uploads = Uploads(uploads_root)
        self.assets = Assets(store, self.uploads, local_paths)
        self.endpoints = Endpoints(store)
        self.deployments = Deployments(store, self.assets)
        root = jobs_root.absolute().as_uri() if isinstance(jobs_root, Path) else jobs_root
        self.jobs = Jobs(store, self.assets, root, check_input, now)
