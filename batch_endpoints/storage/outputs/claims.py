"""Claims: of two jobs that want to write the same output, the first one does, also where they run at the same time.

A job that must not replace anything (see ``NamedOutput.shared``) puts a small file of its own into a hidden folder
beside the output; in there is the URI of its job folder. It may write once it has put its claim and then, in a
listing, found no claim of another job that has not ended: of any two jobs the one that has put its claim later sees
the other's.

A job that ends gives its claim up, unless it has some of its output there and may go on: it, or some of its items,
has failed. Then the claim stays, so that whoever begins to write there next can tell it so (see ``take_over``), and
it will not write over that when it is resumed or its failed items are tried again. Nobody else's file is touched, but
for those of jobs that have ended, by the one that begins to write.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from batch_endpoints.errors import BatchEndpointError, Conflict, InputError
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs import ScoringJob
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.files.addresses import kind_of, scheme_of
from batch_endpoints.storage.files.claim_files import claim_file
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, Tries, patience
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs.named_output import NamedOutput, named_outputs

logger = logging.getLogger(__name__)


def claim(output: NamedOutput, folder: JobFolder) -> None:
    """Keep others from writing there; each driver of a job does it again.

    Raises:
        Conflict: another job, which has not ended, was first.
        InputError: there is no such place.
    """
    place = _place(output)
    if place is None:
        return
    try:
        _claim(place, output, _name(folder))
    except FileNotFoundError as error:
        raise InputError(f"nothing can be written to '{shown(output.folder)}': {shown_text(error)}") from None


def _claim(place: WritablePlace, output: NamedOutput, holder: str) -> None:
    mine = claim_file(holder)
    others = _others(place, output, mine)
    if live := _live(others):
        raise _taken(output, live)
    with patience(HURRIED_SECONDS):
        tries = Tries()
    while True:
        _put(place, f"{output.claims}/{mine}", holder)
        others = _others(place, output, mine)
        live = _live(others)
        if not live:
            break
        # Both are new: the one with the lesser name waits, for the other to give way or to turn out to be the first.
        if mine > min(live) or not tries.another():
            place.delete(f"{output.claims}/{mine}")
            raise _taken(output, live)


def take_over(output: NamedOutput, folder: JobFolder) -> None:
    """Tell all others that have a claim there whose output it is now, before anything of it is written.

    It does not matter whether this job has claimed it, or replaces whatever is there.
    """
    place = output.place()
    if output.folder.startswith(f"{folder.uri}/"):
        return
    for name, holder in _others(place, output, claim_file(_name(folder))).items():
        try:
            other = JobFolder(writable_place(holder), holder)
            if other.files.exists("job.json"):
                other.lose_output(to=_name(folder))
        except (BatchEndpointError, OSError) as error:
            logger.warning("the job in '%s' cannot be told that its output is replaced: %s", shown(holder), error)
        if _has_ended(holder):
            _remove(place, output, name)


def release(job: ScoringJob, folder: JobFolder) -> None:
    """Let others write there, if this job has claimed it."""
    try:
        for output in named_outputs(job, folder.uri):
            if place := _place(output):
                _remove(place, output, claim_file(_name(folder)))
    except (BatchEndpointError, OSError) as error:  # whoever comes next sees that this job has ended
        logger.warning("the claim on the output of job '%s' cannot be given up: %s", job.name, error)


def _put(place: WritablePlace, path: str, holder: str) -> None:
    try:
        place.replace(path, holder.encode())
    except FileNotFoundError:  # on a disk: a job that ended has removed the empty folder a moment ago
        place.replace(path, holder.encode())


def _remove(place: WritablePlace, output: NamedOutput, name: str) -> None:
    place.delete(f"{output.claims}/{name}")
    place.tidy(output.claims)


def _others(place: WritablePlace, output: NamedOutput, mine: str) -> dict[str, str]:
    """All other claims on an output, with the jobs that hold them.

    Others may write there too, and must not choose which hosts this machine asks: what no job has put is none.
    """
    found: dict[str, str] = {}
    for name in place.names(output.claims):
        if name != mine:
            with suppress(FileNotFoundError):  # given up a moment ago
                holder = place.read(f"{output.claims}/{name}").decode(errors="replace")
                if claim_file(holder) == name and _may_be_a_job(holder):
                    found[name] = holder
    return found


def _may_be_a_job(uri: str) -> bool:
    try:
        return bool(scheme_of(uri)) and "?" not in uri and kind_of(uri) != "web"
    except InputError:
        return False


def _live(claims: dict[str, str]) -> dict[str, str]:
    return {name: holder for name, holder in claims.items() if not _has_ended(holder)}


def _taken(output: NamedOutput, live: dict[str, str]) -> Conflict:
    return Conflict(
        f"the job in '{shown(min(live.values()))}' is about to write the output '{shown(output.folder)}'",
        mend="Name another path, wait for its end, or ask for overwrite.",
    )


def _place(output: NamedOutput) -> WritablePlace | None:
    """Where claims on an output are; None where none are needed."""
    return output.place() if output.shared else None


def _name(folder: JobFolder) -> str:
    """The URI of a job folder, whichever way it is reached."""
    place = folder.files.disk
    return place.resolve().as_uri() if place else folder.uri


def _has_ended(uri: str) -> bool:
    """Has a job ended, or is it about to, without giving up its claim? One that is removed has."""
    try:
        folder = JobFolder(writable_place(uri), uri)
        if not folder.files.exists("job.json"):
            return True
        folder = folder.run_of(folder.job())
        state = folder.state()
        return folder.cancel_asked or bool(state and state.ended_at)
    except (BatchEndpointError, OSError):
        return False
