"""A parallel step's inputs and outputs on a worker's machine, as the arguments of its script name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from batch_endpoints.planning.steps.program_arguments import Port, argument_words
from batch_endpoints.processes.program import can_protect
from batch_endpoints.specs import JobInput, ParallelStep, ScoringJob
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.node_copies import NodeCopy, node_copy
from batch_endpoints.storage.inputs.fetch import fetch_tree


def side_inputs_here(job: ScoringJob, scratch: Path, cache: Path) -> dict[str, NodeCopy]:
    """The data inputs that are not cut into mini-batches, on this machine; user code can change nothing but copies.

    Args:
        cache: folder of what jobs on this machine share.

    Raises:
        InputError: one does not exist or cannot be read.
        StoreUnavailable: it may be read later.
    """
    step = job.deployment
    if not isinstance(step, ParallelStep):
        return {}
    found: dict[str, NodeCopy] = {}
    for name, given in job.inputs.items():
        if name == step.input_data or given.type == "literal" or given.mode == "direct":
            continue
        path = fetch_tree(given.path, scratch / "side-inputs" / name, Access.of(job))
        found[name] = node_copy(path, cache / "inputs") if local_path(given.path) else NodeCopy(path)
    return found


def protected_inputs(job: ScoringJob, side_inputs: Mapping[str, NodeCopy], scratch: Path) -> tuple[Path, ...]:
    """What a parallel step's script can read and not write, whoever it runs as; nothing where the system cannot.

    Args:
        scratch: of the worker, where the script has to write.
    """
    step = job.deployment
    if not isinstance(step, ParallelStep) or not can_protect():
        return ()
    cut = local_path(job.inputs[step.input_data].path)
    places = [*(copy.place for copy in side_inputs.values()), *([cut] if cut else [])]
    return tuple(place for place in places if place.exists() and not scratch.is_relative_to(place))


def script_arguments(job: ScoringJob, side_inputs: Mapping[str, NodeCopy], output_folder: Path) -> list[str]:
    """The script's arguments: local paths of data, the text of literals, and a folder for each output.

    The input that is cut, and one whose mode is ``direct``, is its URI, unless it is on a disk.
    """
    step = job.deployment
    if not isinstance(step, ParallelStep):
        return []
    values = {Port("inputs", name): _text(given) for name, given in job.inputs.items()}
    values |= {Port("inputs", name): str(copy.place) for name, copy in side_inputs.items()}
    values |= {Port("outputs", name): str(output_folder / name) for name in job.outputs}
    return argument_words(step.program_arguments, values)


def _text(given: JobInput) -> str:
    if given.type == "literal":
        return str(given.value)
    here = local_path(given.path) if given.mode != "direct" else None
    return str(here or given.path)
