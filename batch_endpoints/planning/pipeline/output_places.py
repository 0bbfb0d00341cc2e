"""Where the outputs of a pipeline's steps go that have a place of their own."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from batch_endpoints.errors import InvocationError
from batch_endpoints.planning.pipeline.graph_parts import Graph, OfStep
from batch_endpoints.specs import PipelineJob
from batch_endpoints.specs.uris import shown

_NAME = re.compile(r"(?:\$\{\{|%24%7B%7B)(?:\s|%20)*name(?:\s|%20)*(?:\}\}|%7D%7D)")  # in a URI it may be escaped
_DATASTORE = re.compile(r"\$\{\{\s*default_datastore\s*\}\}")


def with_datastore(path: str, datastore: str) -> str:
    """A path with the default datastore in it; as it is where there is none."""
    name = datastore.removeprefix("azureml:")
    return _DATASTORE.sub(lambda _: name, path) if name else path


def with_name(path: str, job: str) -> str:
    """A path with the job's name in it; "" (in the job's folder) where it lacks a default datastore."""
    return "" if _DATASTORE.search(path) else _NAME.sub(lambda _: job, path)


def own_places(graph: Graph, job: str) -> dict[OfStep, str]:
    """The URIs to which steps themselves send their outputs, beside those that are outputs of the pipeline.

    Args:
        job: its name.
    """
    return {
        OfStep(path, name): place
        for path, step in graph.steps.items()
        for name, output in step.outputs.items()
        if (place := with_name(output.path, job))
    }


def all_places(graph: Graph, job: PipelineJob) -> dict[OfStep, str]:
    """The URIs to which outputs go, by what steps or the job itself state."""
    asked = {of: job.outputs[name].path for name, of in graph.outputs.items() if name in job.outputs}
    return {**own_places(graph, job.name), **{of: place for of, place in asked.items() if place}}


def check_places_differ(places: Mapping[OfStep, str]) -> None:
    """Raises InvocationError where two outputs would replace each other."""
    seen: dict[str, OfStep] = {}
    for of, place in places.items():
        other = seen.setdefault(place.rstrip("/"), of)
        if other != of:
            raise InvocationError(
                f"'{shown(place)}' is the place of two outputs: '{other.output}' of step '{other.step}' and "
                f"'{of.output}' of step '{of.step}'",
                mend="Give each a path of its own.",
            )


def place_notes(graph: Graph) -> list[str]:
    """Outputs that stay where they are, though they ask for another place."""
    return [
        f"step '{path}': the output '{name}' stays in the job's folder, since there is no settings.default_datastore"
        for path, step in graph.steps.items()
        for name, output in step.outputs.items()
        if _DATASTORE.search(output.path)
    ]


def file_name(place: str) -> str:
    """The name of the file at a place; "" where none is stated."""
    return posixpath.basename(place.partition("?")[0])
