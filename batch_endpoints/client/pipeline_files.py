"""Checks of pipelines and jobs as files, with all files that they name, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batch_endpoints.client.wire import Place, with_uploads
from batch_endpoints.planning.pipeline.component_checks import check_alone
from batch_endpoints.planning.pipeline.derived_component import with_types_of_ports
from batch_endpoints.planning.pipeline.graph import build_graph
from batch_endpoints.specs import COMPONENT, Origins, PipelineComponent, check
from batch_endpoints.specs.job_file import ONE_STEP, as_pipeline


def check_components(document: Mapping[str, Any], place: Place) -> None:
    """Refuse a component, or a pipeline deployment, that cannot run, before anything is sent.

    What refers to registered components is checked by the server, which has them.

    Raises:
        InputError: a file that is named is not there.
        SpecError: every problem with its file and line, a line each.
    """
    whole, origins = _whole(document, place)
    if isinstance(inner := whole.get("component"), dict):
        whole, origins = inner, _below(origins, "component")
    elif "job_definition" in whole:
        return
    if whole.get("type") not in ("command", "parallel", "pipeline") or _names_components(whole):
        return
    component = check(COMPONENT, whole, where=origins)
    if isinstance(component, PipelineComponent):
        build_graph(component, origins)
    else:
        check_alone(component, origins)


def check_job_file(document: Mapping[str, Any], place: Place) -> None:
    """Refuse a job file that cannot run, before anything is sent; see ``check_components``."""
    whole, origins = _whole(document, place)
    asked = as_pipeline(whole, where=origins)
    if isinstance(asked.component, str) or _names_components(whole):
        return
    if "component" in whole:
        origins = _below(origins, "component")
    elif "jobs" not in whole:
        step = {("jobs", ONE_STEP, "component", *key): line for key, line in origins.keys.items()}
        origins = Origins(origins.where, {**origins.keys, **step})
    build_graph(with_types_of_ports(asked.component) if asked.in_place else asked.component, origins)


def _whole(document: Mapping[str, Any], place: Place) -> tuple[dict[str, Any], Origins]:
    """The document with all that it names in it, and where each key of it was given; nothing is sent."""
    place = replace(place, lines={})
    whole = with_uploads(document, place, lambda path, skip: path.absolute().as_uri())
    return whole, place.whole()


def _below(origins: Origins, key: str) -> Origins:
    return Origins(origins.where, {at[1:]: line for at, line in origins.keys.items() if at[:1] == (key,)})


def _names_components(document: Any) -> bool:
    """Is a step in it a component that only the server has?"""
    if not isinstance(document, dict):
        return False
    component, jobs = document.get("component"), document.get("jobs")
    below = [component, *(jobs.values() if isinstance(jobs, dict) else ())]
    return isinstance(component, str) or any(_names_components(one) for one in below)
