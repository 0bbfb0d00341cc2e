"""The outputs of a pipeline: what its steps wrote, in place or copied to where the job names a path."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from pydantic import ValidationError

from batch_endpoints.errors import Conflict, InputError
from batch_endpoints.planning.pipeline.graph_parts import Graph
from batch_endpoints.planning.pipeline.output_places import all_places
from batch_endpoints.specs import JobOutput, PipelineJob, Spec
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.place import open_place, writable_place
from batch_endpoints.storage.inputs.content import listing_digest
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs.downloads import output_files

PLACED = "placed.json"


class Placed(Spec):
    """Which outputs of a step are at their own places.

    Args:
        made: each where the step wrote it.
        listings: of those when they were copied; see ``listing_digest``.
        placed: each where its copy is.
    """

    made: dict[str, JobOutput]
    listings: dict[str, str]
    placed: dict[str, JobOutput]


def check_free(job: PipelineJob, graph: Graph, folder: JobFolder | None = None) -> None:
    """Raises Conflict where an output would replace what is there, unless that may be this job's own.

    Args:
        folder: the job's; None for a job that has none yet.
    """
    if job.overwrite or (folder and folder.holds_output):
        return
    for place in all_places(graph, job).values():
        if output_files(place, Access.of(job)):
            raise Conflict(
                f"the output '{shown(place)}' exists already", mend="Name another path, or ask for overwrite."
            )


def publish(job: PipelineJob, made: Mapping[str, JobOutput], folder: JobFolder) -> dict[str, JobOutput]:
    """Copy what goes to a path of the user's; the rest stays in the folders of the steps.

    Args:
        made: each output where its step wrote it.

    Returns: each output where it is now.

    Raises:
        InputError: a place that cannot be written to.
    """
    outputs = {}
    for name, source in made.items():
        asked = job.outputs.get(name)
        if asked is None or not asked.path:
            outputs[name] = source
            continue
        folder.begin_output()
        outputs[name] = JobOutput(type=source.type, path=_copy(source, asked.path, Access.of(job)))
    return outputs


def publish_step(
    job: PipelineJob, folder: JobFolder, step: JobFolder, made: Mapping[str, JobOutput], places: Mapping[str, str]
) -> dict[str, JobOutput]:
    """Copy those outputs of a step that have places of their own, unless these very ones are there already.

    Args:
        folder: the pipeline's.
        step: the step's folder, in which it is noted.
        places: output -> URI.

    Returns: all outputs, each where it is now.

    Raises:
        InputError: a place that cannot be written to.
    """
    if not places:
        return dict(made)
    listings = {name: listing_digest(made[name].path) for name in places}
    known = placed_outputs(step)
    if known is None or known.listings != listings or {**known.made} != dict(made):
        folder.begin_output()
        copies = {
            name: JobOutput(type=made[name].type, path=_copy(made[name], place, Access.of(job)))
            for name, place in places.items()
        }
        known = Placed(made=dict(made), listings=listings, placed=copies)
        step.files.replace(PLACED, known.model_dump_json().encode())
    return {**made, **known.placed}


def placed_outputs(step: JobFolder) -> Placed | None:
    """What is noted in the folder of a step."""
    try:
        return Placed.model_validate_json(step.files.read(PLACED))
    except (FileNotFoundError, ValidationError):
        return None


def _copy(source: JobOutput, target: str, access: Access) -> str:
    """Each file appears whole; returns the URI of the copy."""
    try:
        place = open_place(source.path, AMBIENT)
        if source.type == "uri_file":
            above, _, name = target.rstrip("/").rpartition("/")
            to = writable_place(above, access)
            with to.open_output(name) as copy, place.open_input("") as file:
                shutil.copyfileobj(file, copy, 1 << 20)
            return to.uri_of(name)
        to = writable_place(target, access)
        if to.disk:
            to.disk.mkdir(parents=True, exist_ok=True)
        for stored in output_files(source.path):
            with to.open_output(stored.path) as copy, place.open_input(stored.path) as file:
                shutil.copyfileobj(file, copy, 1 << 20)
        return to.disk.as_uri() if to.disk else target
    except OSError as error:
        raise InputError(f"the output '{shown(target)}' cannot be written: {error.strerror or error}") from error
