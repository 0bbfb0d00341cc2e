"""Drivers as Ray jobs: the submission id is the launch's id, so one launch happens once however often it is asked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping

import requests
from ray.job_submission import JobStatus, JobSubmissionClient

from batch_endpoints.errors import ServerError
from batch_endpoints.interfaces.launcher import Launch, LaunchStatus

_STATUSES: dict[JobStatus, LaunchStatus] = {
    JobStatus.PENDING: "pending",
    JobStatus.RUNNING: "running",
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.STOPPED: "stopped",
}


class RayJobLauncher:
    """Launches drivers on one Ray cluster.

    Args:
        dashboard: the cluster's HTTP address (http://127.0.0.1:8265).
        environment_variables: for every driver, and so for its workers.
    """

    def __init__(self, dashboard: str, environment_variables: Mapping[str, str]) -> None:
        self._client = JobSubmissionClient(dashboard)
        self._environment_variables = dict(environment_variables)

    def launch(self, launch_id: str, folder: str) -> None:
        try:
            self._client.submit_job(
                # Ray hands this to a shell: a folder's name must not become a command
                entrypoint=shlex.join([sys.executable, "-m", "batch_endpoints.engine", folder]),
                submission_id=launch_id,
                runtime_env={"env_vars": self._environment_variables},
            )
        except (RuntimeError, requests.RequestException) as error:
            if self.look(launch_id).status == "absent":  # otherwise an earlier call has done it
                raise ServerError(f"Ray did not take the job: {str(error).strip().splitlines()[-1]}") from error

    def look(self, launch_id: str) -> Launch:
        try:
            info = self._client.get_job_info(launch_id)
        except RuntimeError as error:
            if "status code 404" in str(error) or "does not exist" in str(error):
                return Launch("absent")
            raise ServerError(f"Ray does not say what became of '{launch_id}': {error}") from error
        except requests.RequestException as error:
            raise ServerError(f"Ray does not answer: {error}") from error
        return Launch(_STATUSES[info.status], (info.message or "").strip())

    def stop(self, launch_id: str) -> None:
        try:
            self._client.stop_job(launch_id)
        except RuntimeError as error:
            if "status code 404" not in str(error) and "does not exist" not in str(error):
                raise ServerError(f"Ray did not stop '{launch_id}': {error}") from error
        except requests.RequestException as error:
            raise ServerError(f"Ray does not answer: {error}") from error
