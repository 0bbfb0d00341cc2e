"""What is the same for every component that Python has: its YAML, its spec, and that a call of it is a step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from batch_endpoints.errors import SpecError

if TYPE_CHECKING:
    from batch_endpoints.specs import CommandComponent, ParallelComponent, PipelineComponent


class Described(TypedDict, total=False):
    """What any component may state, with the keys of its YAML."""

    name: str
    version: str
    display_name: str
    description: str
    tags: Mapping[str, str]
    properties: Mapping[str, str]
    is_deterministic: bool


class Composition(Protocol):
    """A pipeline that is being composed: calls of components become its steps."""

    def add(self, component: Authored, given: Mapping[str, Any]) -> Any: ...


COMPOSED: ContextVar[Composition | None] = ContextVar("pipeline that is being composed", default=None)


class Authored:
    """A component that Python has: called in a pipeline's function, it becomes a step."""

    where: str = ""

    @cached_property
    def document(self) -> dict[str, Any]:
        """What its YAML says, with absolute paths.

        Raises:
            SpecError: names function, parameter or key, and the fix.
        """
        raise NotImplementedError

    @cached_property
    def component(self) -> CommandComponent | ParallelComponent | PipelineComponent:
        """Its spec, the same as of its YAML.

        Raises:
            SpecError: every problem, a line each.
        """
        from batch_endpoints.planning.pipeline.component_checks import check_alone
        from batch_endpoints.planning.pipeline.graph import build_graph
        from batch_endpoints.specs import COMPONENT, Origins, PipelineComponent, check

        origins = Origins(self.where)
        component = check(COMPONENT, self.document, where=origins)
        if not isinstance(component, PipelineComponent):
            check_alone(component, origins)
        elif not _refers(self.document):
            build_graph(component, origins)
        return component

    def yaml(self, folder: str | Path = "") -> str:
        """The component as YAML, which loads to the same spec.

        Args:
            folder: where the file is to be, to which its paths are then relative; "" leaves them absolute.
        """
        from batch_endpoints.specs.documents import dump_document

        document = _relative(self.document, Path(folder).absolute()) if folder else self.document
        return dump_document(document) if self.component else ""

    def __call__(self, **given: Any) -> Any:
        pipeline = COMPOSED.get()
        if pipeline is None:
            raise SpecError(
                f"component '{self.document.get('name', '')}' is called outside of a pipeline",
                where=self.where,
                mend="Call it in a function that is decorated with @pipeline.",
            )
        return pipeline.add(self, given)


def plain(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The document as JSON data of its own, so that nothing in it is shared."""
    try:
        return dict(json.loads(json.dumps(document, default=_as_text)))
    except (TypeError, ValueError) as error:
        raise SpecError(f"a setting is no plain data: {error}", where=where) from None


def _as_text(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is of type {type(value).__name__}")


def _refers(document: Any) -> bool:
    """Is a step in it a component that only a server has?"""
    steps = document.get("jobs", {}).values()
    components = [step.get("component") for step in steps]
    return any(
        isinstance(one, str) or (isinstance(one, dict) and _refers(one)) for one in [*components, *steps] if one
    )


def _relative(document: Any, folder: Path) -> Any:
    """With the paths of code, environments and data relative to a folder."""

    def shown(key: str, value: Any) -> Any:
        if key in ("inputs", "outputs", "jobs") and isinstance(value, dict):  # their keys are names
            return {name: _relative(one, folder) for name, one in value.items()}
        if key in ("code", "environment", "path") and isinstance(value, str) and os.path.isabs(value):
            return os.path.relpath(value, folder)
        return _relative(value, folder)

    return {key: shown(key, value) for key, value in document.items()} if isinstance(document, dict) else document
