"""One attempt of a command step: its inputs here, its program run, and its outputs there when that exits with 0.

<step's folder>/attempts/<attempt>/<output>/    what an attempt writes, each in a folder of its own
<step's folder>/logs/attempt-<attempt>.log      what it prints
<step's folder>/step.json                       the attempt that counts; see storage/job/step_record.py
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

from batch_endpoints.engine.pipeline.step_place import StepPlace, prepare
from batch_endpoints.engine.pipeline.why_it_failed import CODE, Ended, how_it_ended, why_it_failed
from batch_endpoints.engine.worker.worker_log_copy import StoredLog
from batch_endpoints.errors import BatchEndpointError, SpecError, StoreUnavailable
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.interfaces.runner import AttemptOutcome
from batch_endpoints.processes.own_lines import append_line
from batch_endpoints.processes.program import Program
from batch_endpoints.settings import Settings
from batch_endpoints.specs import CommandJob, JobError, JobOutput
from batch_endpoints.specs.step_record import StepRecord
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, PATIENT_SECONDS, patience
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.local_input import remove_scratch
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.job.step_record import put_record, step_record
from batch_endpoints.storage.outputs.step_outputs import NotWritten, collect, upload

_LOOK_SECONDS = 0.1  # how soon a stop, or the end of its time, is noticed
_STORE_SECONDS = 5.0  # between two copies of a log whose folder is remote
logger = logging.getLogger(__name__)


class _Failed(Exception):
    """The attempt has failed, for the reason that is its argument."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error


class _Stopped(Exception):
    """Somebody wants its end."""


def run_attempt(folder_uri: str, attempt: int, stop: threading.Event) -> AttemptOutcome:
    """Run one attempt of the command job in a folder, from its inputs to the record by which it counts.

    Args:
        folder_uri: the step's folder.
        attempt: its number; another attempt, or this one begun twice, may run at the same time elsewhere.
        stop: ends it, with all its processes.

    Raises:
        StoreUnavailable: something can be neither read nor written for now.
    """
    files = writable_place(folder_uri)
    scratch = Path(tempfile.mkdtemp(prefix="batch-endpoints-"))
    try:
        with patience(PATIENT_SECONDS, ended=stop):
            return _Attempt(files, folder_uri, attempt, scratch, stop).run()
    except OSError as error:
        raise StoreUnavailable(f"the step cannot go on: {error}") from error
    finally:
        remove_scratch(scratch)


class _Attempt:
    """One that runs."""

    def __init__(
        self, files: WritablePlace, folder_uri: str, attempt: int, scratch: Path, stop: threading.Event
    ) -> None:
        self._files, self._number, self._scratch, self._stop = files, attempt, scratch, stop
        self._folder_uri = folder_uri
        self._name = str(attempt)
        if not files.put_if_absent(f"attempts/{self._name}/begun", b""):  # by a driver before this one
            self._name += f"-{uuid4().hex[:8]}"
        self._log = StoredLog(files, scratch, f"attempt-{self._name}")
        self._stored = time.monotonic()
        self._began = datetime.now(timezone.utc)

    def run(self) -> AttemptOutcome:
        if counts := step_record(self._files):
            return AttemptOutcome(record=counts)
        try:
            outcome = AttemptOutcome(record=self._record())
            self._line("INFO", "the outputs are complete")
        except _Failed as failed:
            outcome = AttemptOutcome(error=failed.error)
        except StoreUnavailable:
            if not self._stop.is_set():
                raise
            outcome = AttemptOutcome(stopped=True)
        except BatchEndpointError as error:
            message = error.what + (f" ({error.where})" if error.where else "")
            outcome = AttemptOutcome(error=JobError(code=error.code, message=message, details=error.mend))
        except (_Stopped, KeyboardInterrupt):  # Ray raises that in what is cancelled
            outcome = AttemptOutcome(stopped=True)
        if outcome.error:
            self._line("ERROR", f"attempt {self._number} failed: {outcome.error.message}")
        elif outcome.stopped:
            self._line("INFO", f"attempt {self._number} was stopped")
        with patience(0 if outcome.stopped else HURRIED_SECONDS):
            self._log.store(closing=True)
        if outcome.record is None or outcome.record.log != self._log_name:
            self._forget_outputs()
        return outcome

    @property
    def _log_name(self) -> str:
        return f"logs/{self._log.file.name}"

    def _record(self) -> StepRecord:
        job = JobFolder(self._files, self._folder_uri).job()
        if not isinstance(job, CommandJob):
            raise SpecError(f"'{self._folder_uri}' is the folder of a {job.type} job, where a command's is expected")
        place = prepare(job, self._files, f"attempts/{self._name}", self._scratch)
        try:
            self._run_program(job, place)
            outputs, notes = self._outputs(place)
        finally:
            place.close()
        if self._stop.is_set():
            raise _Stopped
        record = StepRecord(
            attempt=self._number,
            outputs=outputs,
            notes=(*place.notes, *notes),
            started_at=self._began,
            ended_at=datetime.now(timezone.utc),
            log=self._log_name,
        )
        return put_record(self._files, record)

    def _run_program(self, job: CommandJob, place: StepPlace) -> None:
        """Raises _Failed where it does not exit with 0, _Stopped."""
        settings = Settings.read()
        limits = [seconds for seconds in (job.timeout, job.retry_settings.timeout) if seconds]
        until = time.monotonic() + min(limits) if limits else None
        self._line("INFO", f"attempt {self._number} runs: {job.component.command.strip()}")
        self._check_stop()
        try:
            program = Program(
                place.command,
                place.environment,
                place.folder,
                self._log.file,
                self._scratch,
                settings.memory_share,
                place.protected,
                place.writable,
            )
        except OSError as error:
            raise _Failed(JobError(code=CODE, message=f"the command could not be started: {error}")) from None
        try:
            code = self._wait(program, until, min(limits, default=0))
        finally:
            program.close()
        self._line("INFO", f"the command has ended: {how_it_ended(code)}")
        if code:
            ended = Ended(code, program.last_words("stdout"), program.last_words("stderr"), str(place.folder))
            raise _Failed(why_it_failed(ended))

    def _wait(self, program: Program, until: float | None, limit: int) -> int:
        while (code := program.wait(_LOOK_SECONDS)) is None:
            self._check_stop()
            if until is not None and time.monotonic() > until:
                program.close()
                self._line("ERROR", f"the command was ended after {limit} seconds")
                message = f"the command did not end within {limit} seconds, so it was ended"
                mend = "Give it more time: limits.timeout of the step, or retry_settings.timeout."
                raise _Failed(JobError(code="StepTimedOut", message=message, details=mend))
            if why := program.why_to_end():
                message = f"the command was ended for want of memory: {why}"
                mend = (
                    "Let it need less, or reserve what it needs with resources.properties.memory, so that fewer "
                    "steps run beside it."
                )
                raise _Failed(JobError(code="OutOfMemory", message=message, details=mend))
            if time.monotonic() - self._stored > _STORE_SECONDS:
                self._log.store()
                self._stored = time.monotonic()
        return code

    def _outputs(self, place: StepPlace) -> tuple[dict[str, JobOutput], list[str]]:
        """Raises _Failed where one that was promised was not written."""
        notes, missing = list[str](), list[str]()
        for output in place.outputs:
            try:
                notes += collect(output.name, output.path, output.is_file)
            except NotWritten as error:
                named = f" ('{output.path.name}')" if output.is_file else ""
                missing.append(f"the output '{output.name}'{named} was not written: {error}")
        if missing:
            mend = "Its path is ${{outputs.…}} in the command; a step succeeds when all of its outputs are there."
            raise _Failed(JobError(code="OutputMissing", message="; ".join(missing), details=mend))
        if not self._files.disk:
            for output in place.outputs:
                self._check_stop()
                upload(self._files, output.target, output.path)
        return {
            output.name: JobOutput(
                type="uri_file" if output.is_file else "uri_folder",
                path=self._files.uri_of(output.target + (f"/{output.path.name}" if output.is_file else "")),
            )
            for output in place.outputs
        }, notes

    def _forget_outputs(self) -> None:
        """What an attempt has written that does not count: only where that costs nothing."""
        if self._files.disk:
            shutil.rmtree(self._files.disk / "attempts" / self._name, ignore_errors=True)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _line(self, level: str, text: str) -> None:
        with suppress(OSError):
            append_line(self._log.file, level, text)
