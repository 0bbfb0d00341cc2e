"""What can be wrong with one component by itself: its inputs and outputs, its placeholders, what it runs on."""

from __future__ import annotations

import re
from collections.abc import Iterable

from batch_endpoints.planning.pipeline.graph_problems import Problems
from batch_endpoints.planning.pipeline.graph_types import nearest
from batch_endpoints.planning.pipeline.literals import as_type, is_literal, literal_value
from batch_endpoints.planning.steps.parallel_step import settings_problems
from batch_endpoints.specs.component import (
    CommandComponent,
    ComponentInput,
    ParallelComponent,
    PipelineComponent,
)
from batch_endpoints.specs.limits import quoted
from batch_endpoints.specs.origins import Location, Origins

AnyComponent = CommandComponent | ParallelComponent | PipelineComponent
_PLACEHOLDER = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_PORT = re.compile(r"(inputs|outputs)\.(\w+)")
_OPTIONAL = re.compile(r"\$\[\[.*?\]\]", re.DOTALL)
_PORT_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_STEP_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_LONGEST_NAME = 200


def check_alone(component: CommandComponent | ParallelComponent, origins: Origins = Origins()) -> None:  # noqa: B008
    """Check a component that is no pipeline.

    Raises:
        SpecError: with every problem, a line each.
    """
    problems = Problems(origins)
    check_component(component, (), problems)
    problems.raise_any()


def check_component(component: AnyComponent, at: Location, problems: Problems) -> None:
    """Note what is wrong with a component by itself; of a pipeline only its inputs and outputs.

    Args:
        at: its key in the document.
    """
    for name, declared in component.inputs.items():
        _check_name(name, (*at, "inputs", name), problems)
        _check_input(declared, (*at, "inputs", name), problems)
    for name in component.outputs:
        _check_name(name, (*at, "outputs", name), problems)
    if isinstance(component, CommandComponent):
        _check_command(component, at, problems)
    elif isinstance(component, ParallelComponent):
        _check_parallel(component, at, problems)


def check_step_name(name: str, at: Location, problems: Problems) -> None:
    """Note a name of a step that can be no part of a path or of an expression."""
    if not (_STEP_NAME.fullmatch(name) and len(name) <= _LONGEST_NAME):
        problems.add(
            at, f"{quoted(name)} is no name of a step: expected letters, digits, '_' and '-', with a letter first"
        )


def _check_name(name: str, at: Location, problems: Problems) -> None:
    if not (_PORT_NAME.fullmatch(name) and len(name) <= _LONGEST_NAME):
        problems.add(
            at,
            f"{quoted(name)} is no name of an input or output: expected letters, digits and '_', with a letter first",
        )


def _check_input(declared: ComponentInput, at: Location, problems: Problems) -> None:
    if not is_literal(declared.type):
        for key in ("min", "max", "enum"):
            if getattr(declared, key) is not None:
                problems.add((*at, key), f"only literals have a range, and this is data of type {declared.type}")
        if declared.default is not None and not isinstance(declared.default, str):
            problems.add((*at, "default"), f"expected a URI, an asset or a path, found {quoted(declared.default)}")
        return
    if declared.type not in ("integer", "number"):
        for key in ("min", "max"):
            if getattr(declared, key) is not None:
                problems.add((*at, key), f"only numbers have a range, and the type is {declared.type}; use enum")
    elif declared.min is not None and declared.max is not None and declared.min > declared.max:
        problems.add((*at, "min"), f"min is {declared.min}, more than max ({declared.max})")
    try:
        for one in declared.enum or ():
            as_type(declared.type, one)
    except ValueError as error:
        problems.add((*at, "enum"), f"a value is not of type {declared.type}: {error}")
        return
    if declared.default is not None:
        try:
            literal_value(declared.default, declared)
        except ValueError as error:
            problems.add((*at, "default"), str(error))


def _check_command(component: CommandComponent, at: Location, problems: Problems) -> None:
    _check_placeholders(component, component.command, (*at, "command"), problems)
    nodes = component.resources.instance_count if component.resources else None
    if nodes is not None and nodes > 1:
        problems.add(
            (*at, "resources", "instance_count"),
            f"a command step runs on one node, and this asks for {nodes}; spread the work with a parallel step, or "
            "set it to 1",
        )
    spread = component.distribution
    if spread is not None and spread.type != "pytorch":
        problems.add(
            (*at, "distribution", "type"),
            f"a command step is not distributed by {spread.type}; use a parallel step, or pytorch with "
            "process_count_per_instance on one node",
        )


def _check_placeholders(
    component: CommandComponent | ParallelComponent, text: str, at: Location, problems: Problems
) -> None:
    always = _OPTIONAL.sub("", text)
    for body in _names(text):
        port = _PORT.fullmatch(body)
        if port is None:
            problems.add(
                at,
                f"'${{{{{body}}}}}' is no placeholder; write ${{{{inputs.<input>}}}} or ${{{{outputs.<output>}}}}",
            )
            continue
        kind, name = port.groups()
        known = component.inputs if kind == "inputs" else component.outputs
        if name not in known:
            problems.add(at, f"'${{{{{body}}}}}': there is no {kind[:-1]} '{name}'; {nearest(name, known)}")
    for body in _names(always):
        port = _PORT.fullmatch(body)
        declared = component.inputs.get(port[2]) if port and port[1] == "inputs" else None
        if declared is not None and declared.optional and declared.default is None and not declared.path:
            problems.add(
                at,
                f"'${{{{{body}}}}}' is optional and has no default; write it as $[[ … ${{{{{body}}}}} … ]], which is "
                "left out where it has no value",
            )


def _check_parallel(component: ParallelComponent, at: Location, problems: Problems) -> None:
    task = component.task
    _check_placeholders(component, task.program_arguments, (*at, "task", "program_arguments"), problems)
    for key, text, kind, known in (
        (("input_data",), component.input_data, "inputs", component.inputs),
        (("task", "append_row_to"), task.append_row_to, "outputs", component.outputs),
    ):
        if not text:
            continue
        names = list(_names(text))
        port = _PORT.fullmatch(names[0]) if len(names) == 1 else None
        if port is None or port[1] != kind:
            problems.add((*at, *key), f"expected ${{{{{kind}.<name>}}}}, found {quoted(text)}")
        elif port[2] not in known:
            problems.add((*at, *key), f"there is no {kind[:-1]} '{port[2]}'; {nearest(port[2], known)}")
        elif kind == "inputs" and is_literal(component.inputs[port[2]].type):
            problems.add((*at, *key), f"'{port[2]}' is a literal; the data that is cut into mini-batches is needed")
    if not component.input_data:
        problems.add((*at, "input_data"), "is missing: write ${{inputs.<input>}} of the data for mini-batches")
    if task.type != "model" and not task.entry_script:
        problems.add((*at, "task", "entry_script"), "is missing: name the script with init() and run()")
    for below, problem in settings_problems(component):
        problems.add((*at, *below), problem)


def _names(text: str) -> Iterable[str]:
    return _PLACEHOLDER.findall(text)
