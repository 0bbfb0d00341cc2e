"""The parameters of a function -> the inputs and outputs of its component."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal

from batch_endpoints.errors import SpecError

_LITERALS: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
_KINDS = {kind: python for python, kind in _LITERALS.items()}
_DATA = "Annotated[Path, Input(type='uri_folder')]"
_FORMS = f"Write str, int, float or bool for a literal, {_DATA} for data, or the same with Output for an output."


@dataclass(frozen=True)
class Input:
    """What an annotation adds to an input: ``Annotated[Path, Input(type="uri_folder")]``.

    Args:
        type: of data; a literal's is that of the annotation.
        mode: as of a component's input in YAML; with ``direct`` annotate ``str``, which gets the URI.
        min: of a number.
        max: of a number.
        enum: all values that a literal may have; ``Literal["a", "b"]`` is the same.
    """

    type: str = ""
    description: str = ""
    mode: str | None = None
    min: float | None = None
    max: float | None = None
    enum: Sequence[str | int | float] | None = None


@dataclass(frozen=True)
class Output:
    """An output: ``Annotated[Path, Output(type="uri_file")]``; the function gets the path to write to."""

    type: str = "uri_folder"
    description: str = ""
    mode: str | None = None


@dataclass(frozen=True)
class Ports:
    """Inputs and outputs as their YAML has them.

    Args:
        kinds: what the function gets for each: ``path`` or the type of a literal.
    """

    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)


def place_of(function: Callable[..., Any]) -> str:
    """File and line of a function, for errors."""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def ports_of(function: Callable[..., Any], *, cut: bool = False, skip: Sequence[str] = ()) -> Ports:
    """The ports of a function.

    Args:
        cut: the first parameter gets mini-batches of its input, whatever Python has for those.
        skip: parameters that are none.

    Raises:
        SpecError: names function, parameter and the fix.
    """
    found = Ports()
    hints = _hints(function)
    parameters = [one for one in inspect.signature(function).parameters.values() if one.name not in skip]
    for number, parameter in enumerate(parameters):
        _Parameter(function, parameter, hints.get(parameter.name)).add_to(found, cut=cut and number == 0)
    return found


def returned_output(function: Callable[..., Any]) -> Output | None:
    """The output that the annotation of what is returned states."""
    stated = _unwrapped(_hints(function).get("return"))[1]
    return next((one for one in stated if isinstance(one, Output)), None)


def stated(port: Input | Output) -> dict[str, Any]:
    """What a port says, as its YAML has it."""
    document = {key: value for key, value in vars(port).items() if value not in (None, "")}
    return {**document, "enum": list(port.enum)} if isinstance(port, Input) and port.enum else document


class _Parameter:
    """One parameter of a function."""

    def __init__(self, function: Callable[..., Any], parameter: inspect.Parameter, annotation: Any) -> None:
        self._function, self._parameter, self._name = function, parameter, parameter.name
        self._annotation = annotation
        self._kind, self._stated, self._optional = _unwrapped(annotation)

    def add_to(self, ports: Ports, *, cut: bool) -> None:
        if self._parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            raise self._error("is none that can be an input by its name", "Make each input a parameter.")
        if self._annotation is None:
            raise self._error("has no annotation", _FORMS)
        if len(self._stated) > 1:
            raise self._error("is declared more than once", "Keep one Input or Output in its annotation.")
        port = self._stated[0] if self._stated else Input()
        if isinstance(port, Output):
            ports.outputs[self._name] = self._output(port)
            ports.kinds[self._name] = "path"
        else:
            ports.inputs[self._name], ports.kinds[self._name] = self._input(port, cut)

    def _output(self, port: Output) -> dict[str, Any]:
        if self._optional or self._default is not inspect.Parameter.empty:
            raise self._error("is an output, and those have no default", "Leave the default and None out.")
        if self._kind is not Path:
            raise self._error(
                f"is an output, and its annotation is {_shown(self._kind)}",
                f"An output arrives as a path: Annotated[Path, Output(type='{port.type}')].",
            )
        return stated(port)

    def _input(self, port: Input, cut: bool) -> tuple[dict[str, Any], str]:
        kind = _LITERALS.get(self._kind, "") if not cut else ""
        document = stated(port)
        if typing.get_origin(self._kind) is Literal:
            document["enum"] = list(typing.get_args(self._kind))
            kinds = {_LITERALS.get(type(value), "") for value in document["enum"]}
            kind = kinds.pop() if len(kinds) == 1 else ""
        if kind and port.type in ("", kind):
            return self._with_default({**document, "type": kind}, _KINDS[kind]), kind
        if not port.type:
            mend = f"Write {_DATA.replace('Path', _shown(self._kind))}." if cut or self._kind is Path else _FORMS
            raise self._error(f"is of type {_shown(self._kind)}, which alone is no input", mend)
        if port.type in _KINDS:
            raise self._error(
                f"is of type {_shown(self._kind)}, and its Input of type {port.type}",
                f"Annotate {_KINDS[port.type].__name__}; its Input needs no type.",
            )
        if not cut and self._kind not in (Path, str):
            raise self._error(
                f"is data, and its annotation is {_shown(self._kind)}",
                f"Data arrives as a path: Annotated[Path, Input(type='{port.type}')].",
            )
        if self._default not in (inspect.Parameter.empty, None):
            raise self._error("is data, and has a default", "Give it where the pipeline is run, or make it optional.")
        return self._with_default(document, Path), "string" if self._kind is str else "path"

    def _with_default(self, document: dict[str, Any], kind: type) -> dict[str, Any]:
        document = {"type": document.pop("type"), **document}
        default = self._default
        if default is None and not self._optional:
            raise self._error("has the default None, which its type does not allow", "Write: … | None = None.")
        if default is inspect.Parameter.empty:
            if self._optional:
                raise self._error("may be None and has no default", "Write: … | None = None.")
            return document
        if self._optional:
            document["optional"] = True
        if default is None:
            return document
        fits = type(default) is kind or (kind is float and type(default) is int)
        if not fits:
            raise self._error(f"has the default {default!r}, which is no {kind.__name__}", "Change one of them.")
        with_exponent = isinstance(default, float) and "e" in repr(default)
        document["default"] = repr(default) if with_exponent else default  # YAML has no numbers like 1e-05
        return document

    @property
    def _default(self) -> Any:
        return self._parameter.default

    def _error(self, what: str, mend: str) -> SpecError:
        subject = f"function '{self._function.__name__}': the parameter '{self._name}' "
        return SpecError(subject + what, where=place_of(self._function), mend=mend)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise SpecError(
            f"function '{function.__name__}': an annotation cannot be read: {error}",
            where=place_of(function),
            mend="Import what it names at the top of the module, outside of 'if TYPE_CHECKING'.",
        ) from None


def _unwrapped(kind: Any) -> tuple[Any, list[Input | Output], bool]:
    """What an annotation says without Annotated and None, what it declares, and whether None is allowed."""
    declared: list[Input | Output] = []
    optional = False
    while True:
        arguments = typing.get_args(kind)
        if typing.get_origin(kind) is Annotated:
            declared += [one for one in arguments[1:] if isinstance(one, Input | Output)]
            kind = arguments[0]
        elif typing.get_origin(kind) in (typing.Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
            optional = True
            kind = next(one for one in arguments if one is not NoneType)
        else:
            return kind, declared, optional


def _shown(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
