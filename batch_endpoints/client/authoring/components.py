"""Functions as components, and components from YAML: each can be printed as YAML, and be a step of a pipeline.

A command function runs by ``python -m batch_endpoints_step module:function name:type=value …``, which a step finds
in every interpreter; a parallel one is the ``run`` of the entry script that its module is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from batch_endpoints.client.authoring.authored import COMPOSED, Authored, Described, plain
from batch_endpoints.client.authoring.entry import entry_of
from batch_endpoints.client.authoring.ports import Output, place_of, ports_of, returned_output, stated
from batch_endpoints.errors import SpecError

if TYPE_CHECKING:
    from typing_extensions import Unpack

ROWS = "rows"
"""The output with the rows that a parallel function returns."""


class OfCommand(Described, total=False):
    """What a command component may state besides; ``code`` and ``environment`` are relative to its module.

    ``code`` is the folder that the step gets, without which it is that of the module.
    """

    code: str | Path
    environment: str | Path | Mapping[str, Any]
    environment_variables: Mapping[str, str]
    resources: Mapping[str, Any]
    distribution: Mapping[str, Any]
    limits: Mapping[str, Any]
    retry_settings: Mapping[str, int]


class OfParallel(Described, total=False):
    """What a parallel component may state besides; see OfCommand."""

    code: str | Path
    environment: str | Path | Mapping[str, Any]
    environment_variables: Mapping[str, str]
    resources: Mapping[str, Any]
    mini_batch_size: int | str
    partition_keys: list[str] | str
    mini_batch_error_threshold: int
    error_threshold: int
    max_concurrency_per_instance: int
    logging_level: str
    retry_settings: Mapping[str, int]


class FunctionComponent(Authored):
    """A function that is a component; outside of a pipeline it is called as the function that it is."""

    __name__: str

    def __init__(self, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
        update_wrapper(self, function)
        self.function, self.settings = function, dict(settings)
        self.where = place_of(function)

    def __call__(self, *given: Any, **named: Any) -> Any:
        if COMPOSED.get() is None:
            return self.function(*given, **named)
        try:
            bound = inspect.signature(self.function).bind_partial(*given, **named)
        except TypeError as error:
            raise SpecError(f"function '{self.__name__}': {error}", where=self.where) from None
        return super().__call__(**bound.arguments)

    def described(self) -> dict[str, Any]:
        """The keys that every component has, and those of the decorator that are no part of the code."""
        name = self.settings.get("name") or self.__name__.lower()
        words = (inspect.getdoc(self.function) or "").partition("\n\n")[0].replace("\n", " ")
        given = {key: value for key, value in self.settings.items() if key not in ("name", "code", "environment")}
        return {"name": name, **({"description": words} if words else {}), **given}

    def environment(self) -> dict[str, Any]:
        """The environment, with a path that is relative to the module made absolute."""
        from batch_endpoints.client.wire import is_local

        given = self.settings.get("environment")
        if given is None:
            return {}
        if isinstance(given, str | Path) and is_local(str(given)):
            given = str((Path(self.function.__code__.co_filename).parent / Path(given).expanduser()).absolute())
        return {"environment": given}


class CommandFunction(FunctionComponent):
    """A function that is a command component."""

    @cached_property
    def document(self) -> dict[str, Any]:
        ports, entry = ports_of(self.function), entry_of(self.function, self.settings.get("code", ""))
        command = f"python -m batch_endpoints_step {entry.module}:{self.__name__}"
        return plain(
            {
                "type": "command",
                **self.described(),
                "inputs": ports.inputs,
                "outputs": ports.outputs,
                "code": str(entry.folder),
                **self.environment(),
                "command": " ".join([command, *_words(ports.kinds, ports.inputs)]),
            },
            self.where,
        )


class ParallelFunction(FunctionComponent):
    """A function that is the ``run`` of a parallel component: its first parameter gets the mini-batches."""

    @cached_property
    def document(self) -> dict[str, Any]:
        if self.__name__ != "run":
            raise SpecError(
                f"function '{self.__name__}' is a parallel component, whose function has the name 'run'",
                where=self.where,
                mend="Rename it, give the component a name with name=…, and put others into modules of their own.",
            )
        ports = ports_of(self.function, cut=True, skip=("mini_batch_context",))
        entry = entry_of(self.function, self.settings.get("code", ""))
        if not (data := next(iter(ports.kinds), "")) or data not in ports.inputs:
            raise SpecError(
                "function 'run' has no parameter for its mini-batches",
                where=self.where,
                mend="Write run(files: Annotated[list[str], Input(type='uri_folder')], …).",
            )
        if ROWS in ports.outputs or ROWS in ports.inputs:
            raise SpecError(
                f"function 'run': the parameter '{ROWS}' has the name of the output for what it returns",
                where=self.where,
                mend="Give it another name.",
            )
        outputs = {ROWS: stated(returned_output(self.function) or Output()), **ports.outputs}
        others = {name: kind for name, kind in ports.kinds.items() if name != data}
        arguments = " ".join(_words(others, ports.inputs))
        task = {
            "type": "run_function",
            "code": str(entry.folder),
            "entry_script": entry.file.as_posix(),
            **self.environment(),
            **({"program_arguments": arguments} if arguments else {}),
            "append_row_to": f"${{{{outputs.{ROWS}}}}}",
        }
        return plain(
            {
                "type": "parallel",
                **self.described(),
                "inputs": ports.inputs,
                "outputs": outputs,
                "input_data": f"${{{{inputs.{data}}}}}",
                "task": task,
            },
            self.where,
        )


class LoadedComponent(Authored):
    """A component from YAML."""

    def __init__(self, source: str | Path | Mapping[str, Any]) -> None:
        self._source = dict(source) if isinstance(source, Mapping) else Path(source)
        self.where = str(source) if isinstance(source, str | Path) else ""

    @cached_property
    def document(self) -> dict[str, Any]:
        from batch_endpoints.client.wire import Place, with_uploads
        from batch_endpoints.specs import COMPONENT, Origins, check, read_yaml_with_origins

        if isinstance(self._source, dict):
            document, origins, base = self._source, Origins(), Path.cwd()
        else:
            (document, origins), base = read_yaml_with_origins(self._source), self._source.absolute().parent
        check(COMPONENT, document, where=origins)
        whole = with_uploads(document, Place(base, origins), lambda path, skip: str(path.resolve()))
        return plain(whole, self.where)


def load_component(source: str | Path | Mapping[str, Any]) -> LoadedComponent:
    """A component from YAML, as a step for pipelines in Python.

    Args:
        source: the file, to which its paths are relative; or its content, as ``client.components.get`` returns it.
    """
    return LoadedComponent(source)


@overload
def command_component(function: Callable[..., Any], /) -> CommandFunction: ...
@overload
def command_component(**settings: Unpack[OfCommand]) -> Callable[[Callable[..., Any]], CommandFunction]: ...
def command_component(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a function a command component: ``@command_component`` or ``@command_component(name="prepare", …)``.

    Args:
        **settings: see OfCommand. Without a name it has the function's.
    """
    return CommandFunction(function, settings) if function else lambda one: CommandFunction(one, settings)


@overload
def parallel_component(function: Callable[..., Any], /) -> ParallelFunction: ...
@overload
def parallel_component(**settings: Unpack[OfParallel]) -> Callable[[Callable[..., Any]], ParallelFunction]: ...
def parallel_component(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make ``run(mini_batch, …)`` a parallel component; ``init()`` and ``shutdown()`` of its module are called too.

    Its first parameter gets the mini-batches of the input of that name, and what it returns becomes the output
    ``rows``, of the type that the annotation of what it returns states (``Annotated[…, Output(type="uri_file")]``).

    Args:
        **settings: see OfParallel.
    """
    return ParallelFunction(function, settings) if function else lambda one: ParallelFunction(one, settings)


def _words(kinds: Mapping[str, str], inputs: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """The arguments that ``batch_endpoints_step`` reads."""
    for name, kind in kinds.items():
        word = f"{name}:{kind}=${{{{{'inputs' if name in inputs else 'outputs'}.{name}}}}}"
        yield f"$[[{word}]]" if inputs.get(name, {}).get("optional") else word
