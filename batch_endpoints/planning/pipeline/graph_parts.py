"""What the graph of a pipeline consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batch_endpoints.specs.component import CommandComponent, Mode, ParallelComponent, StepRetries
from batch_endpoints.specs.invocation import JobInput


@dataclass(frozen=True)
class OfPipeline:
    """An input of the whole pipeline."""

    name: str


@dataclass(frozen=True)
class OfStep:
    """An output of a leaf step.

    Args:
        step: the step's path.
    """

    step: str
    output: str


Source = JobInput | OfPipeline | OfStep
"""Where a step's input comes from; a JobInput is a literal, or data at a URI or of an asset."""


@dataclass(frozen=True)
class GraphOutput:
    """An output of a leaf step.

    Args:
        path: where it goes; "" in the step's folder. May hold ``${{name}}`` and ``${{default_datastore}}``.
    """

    type: str = "uri_folder"
    mode: Mode | None = None
    path: str = ""


@dataclass(frozen=True)
class GraphStep:
    """One leaf step.

    Args:
        path: its name, after the names of the steps around it: ``prepare.clean``.
        component: effective: what the step states is merged into it, and so are defaults of pipelines around it.
        inputs: those that have a source or a value. A source ``OfPipeline`` may turn out to have no value (an
            optional input that an invocation leaves out): then the component's default counts, if it has one.
        modes: by input and by output, where one is stated.
        after: paths of the steps it reads from.
        compute: "" where none is stated.
        timeout: seconds for one attempt; None is no limit.
    """

    path: str
    component: CommandComponent | ParallelComponent
    inputs: Mapping[str, Source] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=dict)
    outputs: Mapping[str, GraphOutput] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    compute: str = ""
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    retry_settings: StepRetries = field(default_factory=StepRetries)
    timeout: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """All leaf steps of a pipeline.

    Args:
        steps: by path, in an order in which they can run.
        outputs: the output of a step that each output of the whole pipeline is.
        notes: what its author should know, and is no error.
    """

    steps: Mapping[str, GraphStep]
    outputs: Mapping[str, OfStep] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
