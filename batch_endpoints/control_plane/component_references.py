"""The references and places in components, and what takes their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar, cast

from batch_endpoints.control_plane.data_references import DataReferences
from batch_endpoints.errors import BatchEndpointError, SpecError
from batch_endpoints.interfaces.records import AnyAsset, AssetKind
from batch_endpoints.planning.pipeline.graph_types import fits, with_article
from batch_endpoints.planning.pipeline.literals import is_literal
from batch_endpoints.planning.pipeline.output_places import with_datastore, with_name
from batch_endpoints.planning.pipeline.scopes import MOST_STEPS
from batch_endpoints.specs import (
    CommandComponent,
    Data,
    Environment,
    Model,
    ParallelComponent,
    PipelineComponent,
)
from batch_endpoints.specs.component import Binding, ComponentInput, Step
from batch_endpoints.specs.numbers import LiteralValue

AnyComponent = CommandComponent | ParallelComponent | PipelineComponent
C = TypeVar("C", bound=CommandComponent | ParallelComponent | PipelineComponent)
_ASSET = re.compile(r"azureml:(?!//)|/subscriptions/")


class Known(Protocol):
    """What components refer to; see ``Assets``."""

    @property
    def places(self) -> DataReferences: ...

    def referred(self, kind: AssetKind, reference: str) -> AnyAsset: ...


class Pins:
    """References become those of one version; places stay as they are."""

    def __init__(self, assets: Known) -> None:
        self._assets = assets

    def component(self, reference: str, key: str) -> str | AnyComponent:
        with _at(key):
            found = self._assets.referred("components", reference)
        return _pinned(found)

    def environment(self, given: str, key: str) -> str | Environment:
        with _at(key):
            return _pinned(self._assets.referred("environments", given))

    def code(self, path: str, key: str) -> str:
        return path

    def data(self, path: str, kind: str, key: str) -> str:
        if not _ASSET.match(path):
            return path
        return _pinned(_asset(self._assets, path, kind, key))

    def output(self, path: str, key: str) -> str:
        return path


class Places:
    """References become what they stand for, and paths URIs."""

    def __init__(self, assets: Known, default_datastore: str) -> None:
        self._assets, self._datastore = assets, default_datastore
        self._known: dict[str, AnyComponent] = {}

    def component(self, reference: str, key: str) -> str | AnyComponent:
        if reference not in self._known:
            with _at(key):
                found = self._assets.referred("components", reference)
            assert isinstance(found, CommandComponent | ParallelComponent | PipelineComponent)
            self._known[reference] = frozen(found, self, f"{key} ({_pinned(found)}): ")
        return self._known[reference]

    def environment(self, given: str, key: str) -> str | Environment:
        with _at(key):
            found = self._assets.referred("environments", given)
        assert isinstance(found, Environment)
        return found

    def code(self, path: str, key: str) -> str:
        return self._assets.places.uri(path, key)

    def data(self, path: str, kind: str, key: str) -> str:
        if not _ASSET.match(path):
            return self._assets.places.uri(path, key)
        asset = _asset(self._assets, path, kind, key)
        if not fits(asset.type, kind):
            raise SpecError(
                f"'{key}': '{path}' is {with_article(asset.type)}, and the step takes {with_article(kind)}",
                mend="Name an asset of this type, or change the type of the input.",
            )
        return self._assets.places.uri(asset.path, f"the path of '{path}'")

    def output(self, path: str, key: str) -> str:
        named = with_datastore(path, self._datastore)
        return self._assets.places.uri(named, key) if with_name(named, "") else path


class Uploads(Pins):
    """URIs in the folder of uploads become those of uploads, which any client may name."""

    def code(self, path: str, key: str) -> str:
        return self._assets.places.reference(path)

    def data(self, path: str, kind: str, key: str) -> str:
        return self._assets.places.reference(path)


_How = Pins | Places


def frozen(component: C, places: Places, key: str) -> C:
    """The component with all in place, in which references of few bytes could stand for any number of steps."""
    whole = walked(component, places, key)
    if sum(1 for _ in islice(_leaves(whole), MOST_STEPS + 1)) > MOST_STEPS:
        raise SpecError(f"the pipeline has more than {MOST_STEPS} steps", where=key)
    return whole


def walked(component: C, how: _How, key: str) -> C:
    """The component with each of its references and places replaced."""
    changes: dict[str, Any] = {"inputs": _ports(component.inputs, how, f"{key}inputs")}
    changes["outputs"] = {
        name: declared.model_copy(update={"path": how.output(declared.path, f"{key}outputs.{name}.path")})
        if declared.path
        else declared
        for name, declared in component.outputs.items()
    }
    if isinstance(component, PipelineComponent):
        changes["jobs"] = {name: _step(step, how, f"{key}jobs.{name}.") for name, step in component.jobs.items()}
    elif isinstance(component, CommandComponent):
        changes |= _coded(component, how, key)
    else:
        changes["task"] = component.task.model_copy(update=_coded(component.task, how, f"{key}task."))
    return cast(C, component.model_copy(update=changes))


def _ports(declared: Mapping[str, ComponentInput], how: _How, key: str) -> dict[str, ComponentInput]:
    found = dict(declared)
    for name, port in declared.items():
        if is_literal(port.type):
            continue
        for field in ("path", "default"):
            if isinstance(path := getattr(port, field), str) and path:
                path = how.data(path, port.type, f"{key}.{name}.{field}")
                found[name] = found[name].model_copy(update={field: path})
    return found


class _Coded(Protocol):
    @property
    def code(self) -> str: ...

    @property
    def environment(self) -> str | Environment | None: ...


def _coded(of: _Coded, how: _How, key: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if of.code:
        changes["code"] = how.code(of.code, f"{key}code")
    if isinstance(of.environment, str) and of.environment:
        changes["environment"] = how.environment(of.environment, f"{key}environment")
    return changes


def _step(step: Step, how: _How, key: str) -> Step:
    changes = _coded(step, how, key)
    whole: AnyComponent | None = None
    if isinstance(step.component, str):
        changes["component"] = how.component(step.component, f"{key}component")
        whole = changes["component"] if not isinstance(changes["component"], str) else None
    elif step.component is not None:
        whole = changes["component"] = walked(step.component, how, f"{key}component.")
    if step.task is not None:
        changes["task"] = step.task.model_copy(update=_coded(step.task, how, f"{key}task."))
    if step.jobs is not None:
        changes["jobs"] = {name: _step(inner, how, f"{key}jobs.{name}.") for name, inner in step.jobs.items()}
    inputs = dict(step.inputs)
    for name, given in step.inputs.items():
        declared = whole.inputs.get(name) if whole else None
        if path := data_path(given, declared):
            kind = _kind(given, declared)
            place = how.data(path, kind, f"{key}inputs.{name}")
            inputs[name] = given.model_copy(update={"path": place}) if isinstance(given, Binding) else place
    outputs = dict(step.outputs)
    for name, bound in step.outputs.items():
        if path := output_path(bound):
            place = how.output(path, f"{key}outputs.{name}")
            outputs[name] = bound.model_copy(update={"path": place}) if isinstance(bound, Binding) else place
    return step.model_copy(update={**changes, "inputs": inputs, "outputs": outputs})


def data_path(given: LiteralValue | Binding, declared: ComponentInput | None) -> str:
    """The path by which a step's input names data; "" for literals, and for what is bound."""
    if isinstance(given, Binding):
        path, kind = given.path if given.value is None else "", given.type or (declared.type if declared else "")
    elif isinstance(given, str) and (declared is not None or "://" in given or given.startswith("azureml:")):
        path, kind = given, declared.type if declared else ""
    else:
        return ""
    return "" if "${{" in path or is_literal(kind) else path


def _kind(given: LiteralValue | Binding, declared: ComponentInput | None) -> str:
    stated = given.type if isinstance(given, Binding) else None
    return stated or (declared.type if declared else "uri_folder")


def output_path(given: str | Binding) -> str:
    path = given if isinstance(given, str) else given.path
    return "" if "parent." in path else path


def _asset(assets: Known, path: str, kind: str, key: str) -> Model | Data:
    """A registered model where the type is one of models, otherwise a data asset."""
    with _at(key):
        found = assets.referred("models" if kind.endswith("_model") else "data", path)
    assert isinstance(found, Model | Data)
    return found


def _pinned(asset: AnyAsset) -> str:
    return f"azureml:{asset.name}:{getattr(asset, 'version', '')}"


def _leaves(component: AnyComponent) -> Iterator[None]:
    """One for each leaf step."""
    for step in component.jobs.values() if isinstance(component, PipelineComponent) else ():
        if isinstance(step.component, PipelineComponent):
            yield from _leaves(step.component)
        else:
            yield None


@contextmanager
def _at(key: str) -> Iterator[None]:
    """Errors state the key of the reference that they are about."""
    try:
        yield
    except BatchEndpointError as error:
        error.where = error.where or key
        raise
