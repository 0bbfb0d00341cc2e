"""What a client sends: documents in which every local path has become something the server can read.

Relative paths in a YAML are relative to that YAML. URIs and references to assets pass through as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batch_endpoints.client.transfer import NOT_CODE
from batch_endpoints.errors import InputError, SpecError
from batch_endpoints.specs import (
    COMPONENT,
    Environment,
    Invocation,
    Location,
    Origins,
    check,
    read_yaml,
    read_yaml_with_origins,
    to_document,
)
from batch_endpoints.specs.component import LITERAL_TYPES
from batch_endpoints.storage.inputs.globs import Pattern, split_pattern

Upload = Callable[[Path, frozenset[str]], str]
"""Sends a local file or folder, without the folders named, and returns its URI on the server."""


def is_local(path: str) -> bool:
    """Is this a path on this machine? False for URIs, references to assets and ``${{…}}`` expressions."""
    return bool(path) and not (
        "://" in path or path.startswith(("azureml:", "/subscriptions/", "upload:")) or "${{" in path
    )


@dataclass(frozen=True)
class Place:
    """Where a document, or a part of one, was given.

    Args:
        base: the folder to which its paths are relative.
        origins: of the document's keys.
        key: of the part that is meant.
        outer: the key at which this document stands in the one that names it.
        files: those that are read for it, one in the other.
        lines: where the keys of all documents that it names were given, by key in the whole.
    """

    base: Path
    origins: Origins = field(default_factory=Origins)
    key: Location = ()
    outer: Location = ()
    files: tuple[Path, ...] = ()
    lines: dict[Location, str] = field(default_factory=dict)

    def below(self, *keys: str) -> Place:
        return replace(self, key=(*self.key, *keys))

    def path(self, path: str) -> Path:
        """The local file or folder that is the value of this key.

        Raises:
            InputError: it is not there; says where it was given.
        """
        found = self.base / Path(path.removeprefix("file:")).expanduser()
        if not found.exists():
            raise InputError(f"{self._subject()}there is no '{found}'")
        return found

    def inside(self, path: str, spec: Any = None) -> tuple[dict[str, Any], Place]:
        """What the YAML file says that is the value of this key, checked against its spec where it has one.

        Raises:
            InputError: it is not there.
            SpecError: it is not what it should be, or stands in itself.
        """
        file = self.path(path)
        chain = (*self.files, file.resolve())
        if chain[-1] in self.files:
            raise SpecError(f"{self._subject()}a file in itself: {' -> '.join(one.name for one in chain)}")
        document, origins = read_yaml_with_origins(file)
        if spec is not None:
            document = to_document(check(spec, document, where=origins))
        outer = (*self.outer, *self.key)
        self.lines.update({(*outer, *key): line for key, line in origins.keys.items()})
        return document, Place(file.parent, origins, outer=outer, files=chain, lines=self.lines)

    def whole(self) -> Origins:
        """The origins of the document with all that it names in it."""
        return Origins(self.origins.where, {**self.origins.keys, **self.lines})

    def _subject(self) -> str:
        origin, key = self.origins.of(self.key), ".".join(str(part) for part in self.key)
        return f"{origin}{': ' if origin else ''}'{key}': "


def with_uploads(document: Mapping[str, Any], place: Place, upload: Upload) -> dict[str, Any]:
    """A deployment, component or environment with its local files uploaded or written into it.

    Args:
        document: as its YAML says it.
        place: of that document.
        upload: sends what has to be files: code and models.

    Raises:
        InputError: a file that is named is not there.
        SpecError: a file that is named is not what it should be.
    """
    sent = dict(document)
    for key, value in document.items():
        here = place.below(key)
        match key, value:
            case "model", {"path": str(path)} if is_local(path):
                sent[key] = {**value, "path": upload(here.below("path").path(path), frozenset())}
            case "code", str(path) if is_local(path):
                sent[key] = upload(here.path(path), NOT_CODE)
            case "environment", str(path) if _is_yaml(path):
                sent[key] = with_uploads(*here.inside(path, Environment), upload)
            case "component" | "trial", str(path) if _is_yaml(path):
                sent[key] = with_uploads(*here.inside(path, COMPONENT), upload)
            case "job_definition", str(path) if _is_yaml(path):
                sent[key] = with_uploads(*here.inside(path), upload)
            case "conda_file", str(path):
                sent[key] = read_yaml(here.path(path))
            case "requirements", str(path):
                sent[key] = _requirements(here.path(path))
            case (("code_configuration" | "environment" | "task" | "component" | "trial" | "job_definition"), dict()):
                sent[key] = with_uploads(value, here, upload)
            case "jobs", dict():
                sent[key] = {name: with_uploads(step, here.below(name), upload) for name, step in value.items()}
            case "inputs", dict():
                sent[key] = {name: _with_data(given, here.below(name), upload) for name, given in value.items()}
    return sent


def _with_data(given: Any, place: Place, upload: Upload) -> Any:
    """An input with its local data uploaded: its value, or a default."""
    match given:
        case {"path": str(path)} if is_local(path):
            return {**given, "path": upload(place.below("path").path(path), frozenset())}
        case {"type": str(kind), "default": str(path)} if kind not in LITERAL_TYPES and is_local(path):
            return {**given, "default": upload(place.below("default").path(path), frozenset())}
    return given


def check_script(document: Mapping[str, Any], place: Place) -> None:
    """Refuse a deployment whose scoring script is not there or is not Python, before anything is sent."""
    code = document.get("code_configuration") or {}
    if not code or not is_local(code["code"]):
        return
    here = place.below("code_configuration")
    folder = here.below("code").path(code["code"])
    script = replace(here, base=folder).below("scoring_script").path(code["scoring_script"])
    try:
        ast.parse(script.read_bytes(), filename=str(script))
    except OSError as error:
        raise SpecError(f"cannot read the scoring script '{script}': {error.strerror}") from None
    except SyntaxError as error:
        raise SpecError(f"{script}:{error.lineno}: the scoring script has a syntax error: {error.msg}") from None
    except ValueError as error:
        raise SpecError(f"{script}: the scoring script is not Python: {error}") from None


def invocation_body(invocation: Invocation) -> dict[str, Any]:
    """The body of ``POST /endpoints/{endpoint}/jobs`` in Azure ML's shape; only what was said is in it."""
    said = invocation.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    retry = said.get("retry_settings", {})
    experiment = {"experimentName": said["experiment_name"]} if "experiment_name" in said else {}
    properties = {
        "inputData": {
            name: _renamed(given, type="jobInputType", path="uri", value="value", mode="mode")
            for name, given in said.get("inputs", {}).items()
        },
        "outputData": {
            name: _renamed(given, type="jobOutputType", path="uri", mode="mode")
            for name, given in said.get("outputs", {}).items()
        },
        "compute": _renamed(said, instance_count="instanceCount", resource_properties="properties", compute="target"),
        "retrySettings": {
            **_renamed(retry, max_retries="maxRetries"),
            **({"timeout": f"PT{retry['timeout']}S"} if "timeout" in retry else {}),
        },
        "properties": {**said.get("properties", {}), **experiment},
        **_renamed(
            said,
            name="name",
            display_name="displayName",
            description="description",
            tags="tags",
            mini_batch_size="miniBatchSize",
            max_concurrency_per_instance="maxConcurrencyPerInstance",
            error_threshold="errorThreshold",
            on_error="onError",
            keep_failed_inputs="keepFailedInputs",
            output_file_name="outputFileName",
            output_format="outputFormat",
            logging_level="loggingLevel",
            mlflow_params="mlflowParams",
            environment_variables="environmentVariables",
            overwrite="overwrite",
            force_rerun="forceRerun",
            jobs="jobs",
        ),
    }
    return {"properties": {key: value for key, value in properties.items() if value not in ({}, "", None)}}


def existing(path: str) -> tuple[Path, Pattern | None]:
    """A local path that is there, absolute; or the folder of a pattern of files, and the pattern below it.

    Raises:
        InputError: nothing is there.
    """
    found = Path(path).expanduser().absolute()
    if found.exists():
        return found, None
    split = split_pattern(str(found))
    if split and Path(split[0]).is_dir():
        return Path(split[0]), split[1]
    raise InputError(
        f"'{path}' does not exist", mend="Inputs are local paths or patterns, URIs, or azureml:<data asset>."
    )


def _is_yaml(path: str) -> bool:
    return is_local(path) and path.endswith((".yml", ".yaml"))


def _requirements(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SpecError(f"cannot read the requirements: {error.strerror}", where=str(file)) from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _renamed(given: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {new: given[old] for old, new in names.items() if old in given}
