"""When too much has failed for a job to go on."""

from __future__ import annotations


def over_threshold(failed: int, error_threshold: int) -> bool:
    """Has this job failed too many inputs to go on?

    Args:
        failed: inputs without a result so far; files, or records for tabular input.
        error_threshold: failures allowed in the whole job; -1 allows any number.

    Azure ML aborts when the count goes *above* the threshold, so 0 allows none
    (BatchDeploymentProperties.errorThreshold).
    """
    return error_threshold >= 0 and failed > error_threshold


def nothing_succeeded(succeeded: int, failed: int) -> bool:
    """A job in which every input failed has failed, whatever its threshold says (as on Azure ML)."""
    return succeeded == 0 and failed > 0
