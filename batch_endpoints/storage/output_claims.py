"""Claims: of two jobs that want to write the same output, the first one does, also where they run at the same time.

A job that must not replace anything (see ``NamedOutput.shared``) puts a small file, named after the output, beside
it; in there is the URI of its folder. It is created only if absent, and is gone when the job has ended.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from batch_endpoints.errors import BatchEndpointError, Conflict, InputError
from batch_endpoints.specs import JobSpec
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.filesystem import ArrowFilesystem, LocalFilesystem, local_path, open_filesystem
from batch_endpoints.storage.job_folder import JobFolder
from batch_endpoints.storage.named_outputs import NamedOutput, named_output

if TYPE_CHECKING:
    from batch_endpoints.storage.objects import ObjectFilesystem

logger = logging.getLogger(__name__)


def claim(output: NamedOutput, folder: JobFolder) -> None:
    """Keep others from writing there; each driver of a job does it again.

    Raises:
        Conflict: another job, which has not ended, was first.
        InputError: there is no such place.
    """
    place, mine = _place(output), _name(folder)
    if place is None:
        return
    try:
        while not place.put_if_absent(output.mark, mine.encode()):
            try:
                holder = place.read(output.mark).decode()
            except FileNotFoundError:  # it has ended a moment ago
                continue
            if holder == mine:
                return
            if not _has_ended(holder):
                raise Conflict(
                    f"the job in '{shown(holder)}' is about to write the output '{shown(output.folder)}'",
                    mend="Name another path, wait for its end, or ask for overwrite.",
                )
            place.delete(output.mark)
    except FileNotFoundError as error:
        raise InputError(f"nothing can be written to '{shown(output.folder)}': {shown_text(error)}") from None


def release(job: JobSpec, folder: JobFolder) -> None:
    """Let others write there, if this job has claimed it."""
    try:
        output = named_output(job, folder.uri)
        place = _place(output)
        if place is not None and place.read(output.mark).decode() == _name(folder):
            place.delete(output.mark)
    except FileNotFoundError:
        pass
    except (BatchEndpointError, OSError) as error:  # whoever comes next sees that this job has ended
        logger.warning("the claim on the output of job '%s' cannot be given up: %s", job.name, error)


def _place(output: NamedOutput) -> LocalFilesystem | ObjectFilesystem | None:
    """Where claims on an output are; None where none are needed, or nothing can be created only if absent."""
    place = output.place() if output.shared else None
    return None if isinstance(place, ArrowFilesystem) else place


def _name(folder: JobFolder) -> str:
    """The URI of a job folder, whichever way it is reached."""
    place = local_path(folder.uri)
    return place.resolve().as_uri() if place else folder.uri


def _has_ended(uri: str) -> bool:
    """Has a job ended, or is it about to, without giving up its claim?"""
    try:
        folder = JobFolder(open_filesystem(uri), uri)
        folder = folder.run_of(folder.job())
        state = folder.state()
        return folder.cancel_asked or bool(state and state.ended_at)
    except (BatchEndpointError, OSError):
        return False
