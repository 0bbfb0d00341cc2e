"""``python -m batch_endpoints.engine <job folder>``: run one job, or what is left of it.

This is what the server starts as a Ray job, and what can be given to ``ray job submit`` by hand. Where there is no
Ray cluster (no ``RAY_ADDRESS``) the job runs on this machine alone.

Exit code: 0 Completed, 1 Failed, 2 there is no job in the folder, 130 Canceled, 143 told to end, may be resumed.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from contextlib import nullcontext
from types import FrameType

from batch_endpoints.engine.driver.driver_log import log_to, stored_log
from batch_endpoints.engine.driver.job_yml import freeze
from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.driver.scoring_rounds import Stopped
from batch_endpoints.engine.lean_arrow import leave_out_pandas
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.pipeline.local_commands import LocalCommands
from batch_endpoints.engine.pipeline.run_graph import run_pipeline
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.interfaces.runner import MiniBatchRunner
from batch_endpoints.settings import PRIVATE_UMASK
from batch_endpoints.specs import JobState, PipelineJob
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.terminal_text import for_stream


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m batch_endpoints.engine", description="Run one job.")
    parser.add_argument("folder", help="the job folder: it holds a job.json, or a job.yml written by hand")
    parser.add_argument("--local", action="store_true", help="use this machine alone, not the Ray cluster")
    arguments = parser.parse_args()
    os.umask(PRIVATE_UMASK)
    place = local_path(arguments.folder)
    uri = place.resolve().as_uri() if place else arguments.folder
    leave_out_pandas()
    log = log_to(place)
    _end_when_told()
    on_ray = not arguments.local and bool(os.environ.get("RAY_ADDRESS"))
    try:
        folder = JobFolder(writable_place(uri), uri)
        if place:
            freeze(place, folder)
        with nullcontext() if place else stored_log(folder.files, log):
            state = _run(folder, on_ray)
    except BatchEndpointError as error:
        print(for_stream(str(error), sys.stderr), file=sys.stderr)
        return 2
    except Stopped:
        return 143
    done = state.progress
    print(
        f"{state.status}: {done.items_succeeded} of {done.items} items, {done.items_failed} failed, {done.rows} rows"
        + (f", {done.rows_failed} rows failed" if done.rows_failed else "")
    )
    for name, output in state.outputs.items():
        print(for_stream(f"{name}: {output.path}", sys.stdout))
    return {"Completed": 0, "Canceled": 130}.get(state.status, 1)


def _run(folder: JobFolder, on_ray: bool) -> JobState:
    try:
        if isinstance(folder.job(), PipelineJob):
            return _run_pipeline(folder, on_ray)
        return run_job(folder, _ray_runner if on_ray else LocalRunner)
    except BatchEndpointError:
        raise
    except Exception:  # ours to mend, and in the log of the job it happened in
        logging.exception("the driver broke")
        raise


def _run_pipeline(folder: JobFolder, on_ray: bool) -> JobState:
    if not on_ray:
        return run_pipeline(folder, LocalCommands, LocalRunner)
    from batch_endpoints.engine.on_ray.commands import RayCommands
    from batch_endpoints.engine.on_ray.runner import RayRunner, connect

    connect()
    _end_when_told()  # again: ray.init sets a handler of its own
    return run_pipeline(folder, RayCommands, RayRunner)


def _ray_runner(folder_uri: str) -> MiniBatchRunner:
    from batch_endpoints.engine.on_ray.runner import RayRunner

    runner = RayRunner(folder_uri)
    _end_when_told()  # again: ray.init sets a handler of its own
    return runner


def _end_when_told() -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


if __name__ == "__main__":
    sys.exit(main())
