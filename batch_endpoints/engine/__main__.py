"""``python -m batch_endpoints.engine <job folder>``: run one job, or what is left of it.

This is what the server starts as a Ray job, and what can be given to ``ray job submit`` by hand. Where there is no
Ray cluster (no ``RAY_ADDRESS``) the job runs on this machine alone.

Exit code: 0 Completed, 1 Failed, 2 there is no job in the folder, 130 Canceled, 143 told to end, may be resumed.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from batch_endpoints.engine.driver import Stopped, run_job
from batch_endpoints.engine.lean_arrow import leave_out_pandas
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.written_by_hand import freeze
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.interfaces import MiniBatchRunner
from batch_endpoints.specs.log_lines import stamp
from batch_endpoints.storage.filesystem import local_path, open_filesystem
from batch_endpoints.storage.job_folder import JobFolder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m batch_endpoints.engine", description="Run one job.")
    parser.add_argument("folder", help="the job folder: it holds a job.json, or a job.yml written by hand")
    parser.add_argument("--local", action="store_true", help="use this machine alone, not the Ray cluster")
    arguments = parser.parse_args()
    place = local_path(arguments.folder)
    uri = place.resolve().as_uri() if place else arguments.folder
    leave_out_pandas()
    log = _log_to(place)
    _end_when_told()
    folder = None
    on_ray = not arguments.local and bool(os.environ.get("RAY_ADDRESS"))
    try:
        folder = JobFolder(open_filesystem(uri), uri)
        if place:
            freeze(place, folder)
        state = run_job(folder, _ray_runner if on_ray else LocalRunner)
    except BatchEndpointError as error:
        print(error, file=sys.stderr)
        return 2
    except Stopped:
        return 143
    except Exception:  # ours to mend, and in the log of the job it happened in
        logging.exception("the driver broke")
        raise
    finally:
        if folder and not place:
            _store_log(folder, log)
    done = state.progress
    print(
        f"{state.status}: {done.items_succeeded} of {done.items} items, {done.items_failed} failed, {done.rows} rows"
        + (f", {done.rows_failed} rows failed" if done.rows_failed else "")
    )
    for name, output in state.outputs.items():
        print(f"{name}: {output.path}")
    return {"Completed": 0, "Canceled": 130}.get(state.status, 1)


def _ray_runner(folder_uri: str) -> MiniBatchRunner:
    from batch_endpoints.engine.ray_pool import RayPoolRunner

    runner = RayPoolRunner(folder_uri)
    _end_when_told()  # again: ray.init sets a handler of its own
    return runner


def _end_when_told() -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _log_to(place: Path | None) -> Path:
    """Log into the job folder; where that is remote, into a file that is stored there at the end."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    log = (place / "logs" if place else Path(tempfile.mkdtemp(prefix="batch-endpoints-"))) / "driver.log"
    if place is None or place.is_dir():
        log.parent.mkdir(exist_ok=True)
        handlers.append(logging.FileHandler(log))
    for handler in handlers:
        handler.setFormatter(_Stamped("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.getLogger("ray").setLevel(logging.WARNING)
    return log


class _Stamped(logging.Formatter):
    """Lines with a time by which the logs of a job can be merged."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return stamp(datetime.fromtimestamp(record.created, timezone.utc))


def _store_log(folder: JobFolder, log: Path) -> None:
    """Add this driver's log to those of earlier ones."""
    try:
        try:
            before = folder.files.read("logs/driver.log")
        except FileNotFoundError:
            before = b""
        folder.files.replace("logs/driver.log", before + log.read_bytes())
    except (OSError, BatchEndpointError) as error:
        print(f"the driver's log could not be stored: {error}", file=sys.stderr)
    shutil.rmtree(log.parent, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
