"""Where each input of each step comes from, through all the pipelines around the step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from batch_endpoints.planning.pipeline.bindings import ParentInput, ParentOutput, SiblingOutput, expression
from batch_endpoints.planning.pipeline.graph_parts import OfPipeline, Source
from batch_endpoints.planning.pipeline.graph_problems import Problems
from batch_endpoints.planning.pipeline.graph_types import fits, nearest, with_article
from batch_endpoints.planning.pipeline.literals import is_literal, literal_value
from batch_endpoints.planning.pipeline.scopes import Node, Scope
from batch_endpoints.specs.component import Binding, ComponentInput, Mode
from batch_endpoints.specs.invocation import JobInput
from batch_endpoints.specs.limits import quoted
from batch_endpoints.specs.numbers import LiteralValue
from batch_endpoints.specs.origins import Location

_LITERAL_BITS = 63


@dataclass(frozen=True)
class Bound:
    """What an input is bound to.

    Args:
        source: None where it has no value.
        kind: the type of what it is bound to.
        mode: as it is stated next to the step.
        fallback: the input with the default that counts where ``source`` turns out to have no value; None: its own.
    """

    source: Source | None = None
    kind: str = ""
    mode: Mode | None = None
    fallback: ComponentInput | None = None


class Sources:
    """Resolves bindings; each input once."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._known: dict[tuple[str, str], Bound] = {}

    def check_names(self, node: Node) -> None:
        """Note inputs that a step binds and its component does not have, and what a pipeline needs."""
        for name in node.step.inputs:
            if name not in node.component.inputs:
                at = (*node.at, "inputs", name)
                self._problems.add(at, f"the step has no input '{name}'; {nearest(name, node.component.inputs)}")
        for name in node.component.inputs if node.inner is not None else ():
            self.of(node, name)

    def of(self, node: Node, name: str) -> Bound:
        """What an input of a step is bound to; its default where it is not bound."""
        key = (node.path, name)
        if key not in self._known:
            self._known[key] = self._bound(node, name)
        return self._known[key]

    def _bound(self, node: Node, name: str) -> Bound:
        declared = node.component.inputs[name]
        at = (*node.at, "inputs", name)
        given = node.step.inputs.get(name)
        stated = given if isinstance(given, Binding) else None
        if given is None or (stated is not None and stated.value is None and not stated.path):
            bound = self._default(declared)
            if bound.source is None and not declared.optional:
                self._problems.add(at, f"is missing: the step needs it ({with_article(declared.type)})")
        else:
            bound = self._given(node.scope, given, declared, at)
            if bound.source is None and bound.kind:
                bound = self._without_value(bound, declared, at)
        mode = (stated.mode if stated else None) or declared.mode or bound.mode
        return replace(bound, mode=mode)

    def _without_value(self, bound: Bound, declared: ComponentInput, at: Location) -> Bound:
        """Bound to an optional input of a pipeline that got no value."""
        default = self._default(declared)
        if default.source is None and not declared.optional:
            self._problems.add(at, "is required, and bound to an optional input that has no value; give it a default")
        return default

    def _default(self, declared: ComponentInput) -> Bound:
        if is_literal(declared.type):
            if declared.default is None:
                return Bound()
            try:
                return Bound(_literal(literal_value(declared.default, declared)), declared.type)
            except ValueError:  # noted where it is declared
                return Bound(_literal(declared.default), declared.type)
        path = declared.path or declared.default
        return Bound(_data(str(path), declared.type), declared.type) if path else Bound()

    def _given(self, scope: Scope, given: LiteralValue | Binding, declared: ComponentInput, at: Location) -> Bound:
        value = given if not isinstance(given, Binding) else given.value if given.value is not None else given.path
        try:
            bound = expression(value)
        except ValueError as error:
            self._problems.add(at, str(error))
            return Bound()
        match bound:
            case None:
                stated = given.type if isinstance(given, Binding) else None
                return self._value(value, stated, declared, at)
            case ParentInput(name):
                return self._of_parent(scope, name, declared, at)
            case SiblingOutput(step, name):
                return self._of_sibling(scope, step, name, declared, at)
            case ParentOutput(name):
                self._problems.add(
                    at,
                    f"an output of the pipeline cannot be read; write the step's: ${{{{parent.jobs.<step>.outputs."
                    f"{name}}}}}",
                )
        return Bound()

    def _value(self, value: LiteralValue, stated: str | None, declared: ComponentInput, at: Location) -> Bound:
        if is_literal(declared.type):
            if stated is not None and not is_literal(stated):
                self._problems.add(at, f"{with_article(stated)} does not fit {with_article(declared.type)}")
                return Bound()
            return self._checked(value, declared, at)
        if not isinstance(value, str) or not value:
            self._problems.add(
                at, f"expected data of type {declared.type} (a URI, an asset or a binding), found {quoted(value)}"
            )
            return Bound()
        kind = stated or declared.type
        self._check_fits(kind, declared, at)
        return Bound(_data(value, kind), kind)

    def _of_parent(self, scope: Scope, name: str, declared: ComponentInput, at: Location) -> Bound:
        if name not in scope.pipeline.inputs:
            self._problems.add(at, f"the pipeline has no input '{name}'; {nearest(name, scope.pipeline.inputs)}")
            return Bound()
        outer = scope.pipeline.inputs[name]
        if not self._check_fits(outer.type, declared, at):
            return Bound()
        if scope.node is None:
            return self._of_whole(name, outer, declared, at)
        bound = self.of(scope.node, name)
        if isinstance(bound.source, JobInput) and is_literal(declared.type) and bound.source.value is not None:
            return replace(self._checked(bound.source.value, declared, at), mode=bound.mode)
        if isinstance(bound.source, OfPipeline):
            own = self._default(declared).source is not None
            around = bound.fallback or (outer if self._default(outer).source is not None else None)
            if around is not None:
                fallback = declared.model_copy(update={"default": around.default, "path": around.path})
                return replace(bound, fallback=fallback)
            if bound.fallback is None and not own and not declared.optional and outer.optional:
                self._problems.add(at, self._required(name))
        return replace(bound, kind=bound.kind or (outer.type if outer.optional else ""))

    def _of_whole(self, name: str, outer: ComponentInput, declared: ComponentInput, at: Location) -> Bound:
        default = self._default(outer)
        if outer.optional and default.source is None:
            if not declared.optional and self._default(declared).source is None:
                self._problems.add(at, self._required(name))
        elif isinstance(default.source, JobInput) and default.source.value is not None:
            self._checked(default.source.value, declared, at)
        return Bound(OfPipeline(name), outer.type)

    def _required(self, name: str) -> str:
        return (
            f"is required, and the pipeline's input '{name}' is optional and has no default; give one of them a "
            "default, or make this one optional"
        )

    def _of_sibling(self, scope: Scope, step: str, name: str, declared: ComponentInput, at: Location) -> Bound:
        if step not in scope.pipeline.jobs:
            self._problems.add(at, f"there is no step '{step}'; {nearest(step, scope.pipeline.jobs)}")
            return Bound()
        if step not in scope.nodes:  # its own problem is noted
            return Bound()
        node = scope.nodes[step]
        if name not in node.component.outputs:
            self._problems.add(at, f"step '{step}' has no output '{name}'; {nearest(name, node.component.outputs)}")
            return Bound()
        kind = node.output_type(name)
        self._check_fits(kind, declared, at)
        return Bound(scope.leaf_output(step, name), kind if scope.leaf_output(step, name) else "")

    def _check_fits(self, kind: str, declared: ComponentInput, at: Location) -> bool:
        if fits(kind, declared.type):
            return True
        self._problems.add(
            at,
            f"{with_article(kind)} does not fit the step's input, {with_article(declared.type)}; give both the same "
            "type",
        )
        return False

    def _checked(self, value: LiteralValue, declared: ComponentInput, at: Location) -> Bound:
        try:
            return Bound(_literal(literal_value(value, declared)), declared.type)
        except ValueError as error:
            self._problems.add(at, str(error))
            return Bound()


def _literal(value: LiteralValue) -> JobInput:
    if isinstance(value, int) and abs(value) >> _LITERAL_BITS:
        value = str(value)  # which keeps all digits
    return JobInput(type="literal", value=value)


def _data(path: str, kind: str) -> JobInput:
    return JobInput.model_validate({"type": kind, "path": path})
