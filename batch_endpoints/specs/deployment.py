"""Deployments: what answers behind an endpoint, a model or a pipeline of components."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter, field_validator, model_validator

from batch_endpoints.specs.assets import Environment, Model
from batch_endpoints.specs.base import Description, EndpointName, RelativePath, Spec, Strings, Uri, wrong_key
from batch_endpoints.specs.component import PipelineComponent
from batch_endpoints.specs.numbers import MOST_COUNTED, Seconds, Threshold, Tries, Whole, Workers, seconds
from batch_endpoints.specs.resources import Resources
from batch_endpoints.specs.rows_file import DEFAULT_NAME, OutputFormat, rows_file


def snake_case(value: object) -> object:
    """``AppendRow``, ``appendRow`` and ``append_row`` are one value."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value).lower() if isinstance(value, str) else value


_LONGEST_SIZE, _MOST_OF_A_SIZE = 20, 10**12
MINI_BATCH_FILES = 10
"""Files of a mini-batch where nobody has said (Azure ML: ``miniBatchSize``)."""


class RetrySettings(Spec):
    """How often one mini-batch is tried again (Azure ML: ``retry_settings``)."""

    max_retries: Tries = Field(3, description="tries after the first one")
    timeout: Seconds = Field(30, description="seconds allowed for one run() call")

    _iso_timeout = field_validator("timeout", mode="before")(seconds)


class CodeConfiguration(Spec):
    """The folder with the scoring script, and the script in it."""

    code: Uri = "."
    scoring_script: RelativePath


class ModelDeploymentSettings(Spec):
    """How a model deployment cuts, runs, retries and writes (``settings`` of modelBatchDeployment)."""

    max_concurrency_per_instance: Workers = Field(1, description="worker processes on a node")
    mini_batch_size: Whole | str | None = Field(
        None,
        description='files for one run() call, or "64MB", "5000 rows" of tables; None: 10 files for a script; for a '
        "model without one what suits tables, where it is given nothing else",
    )
    mini_batch_format: Literal["files", "pandas", "pyarrow", "numpy"] | None = Field(
        None,
        description="what run() gets: paths, a pandas.DataFrame, a pyarrow.Table, a dict of numpy arrays; "
        "None: what its parameter is annotated with, paths where it is not",
    )
    output_columns: tuple[str, ...] = Field(
        (),
        description="input columns that the output has besides; 'row' and 'file' where the input has none so named",
    )
    error_threshold: Threshold = Field(-1, description="failed items and rows allowed in the whole job; -1 any")
    on_error: Literal["isolate", "fail"] | None = Field(
        None,
        description="of a table whose run() fails: 'isolate' finds the rows that fail and scores the others, "
        "'fail' fails it whole; None: 'isolate' for a model without a script, 'fail' for a script, whose run() may "
        "do more than return",
    )
    keep_failed_inputs: bool = Field(False, description="failed_items.jsonl has the values of failed rows")
    retry_settings: RetrySettings = RetrySettings()
    output_action: Literal["append_row", "summary_only"] = "append_row"
    output_file_name: str | None = Field(
        None, description=f"None: {DEFAULT_NAME}, or with the ending of output_format where that is given"
    )
    output_format: OutputFormat | None = Field(
        None, description="azureml: Azure ML's layout, byte for byte; None: what the ending of output_file_name says"
    )
    mlflow_params: dict[str, Any] | None = Field(
        None, description="ours: params of predict(), of an MLflow model without a script"
    )
    logging_level: Literal["warning", "info", "debug"] = "info"
    environment_variables: Strings = Field(default_factory=dict)

    _any_spelling = field_validator("output_action", "logging_level", "on_error", mode="before")(snake_case)

    @field_validator("mini_batch_size")
    @classmethod
    def _cut(cls, value: int | str | None) -> int | str | None:
        if value is None:
            return None
        if isinstance(value, str):
            if len(value) > _LONGEST_SIZE:
                raise ValueError(f"expected at most {_LONGEST_SIZE} characters")
            if value.isdecimal():
                value = int(value)
            elif not re.fullmatch(r"\d+\s*(rows|[kmg]?b)", value, re.IGNORECASE):
                raise ValueError('expected a number of files, a size such as "64MB", or a number of "rows"')
        number, most = (
            (value, MOST_COUNTED) if isinstance(value, int) else (int(re.split(r"\D", value)[0]), _MOST_OF_A_SIZE)
        )
        if number < 1:
            raise ValueError("expected at least 1")
        if number > most:
            raise ValueError(f"expected at most {most}")
        return value

    @field_validator("environment_variables")
    @classmethod
    def _names_of_variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name or "=" in name or "\0" in name + text:
                raise ValueError(f"'{name}' cannot be the name of an environment variable, or its value has a NUL")
        return value

    @model_validator(mode="after")
    def _paths_are_of_files(self) -> ModelDeploymentSettings:
        if self.mini_batch_format == "files" and isinstance(self.mini_batch_size, str):
            raise wrong_key(
                "mini_batch_size",
                f"mini_batch_size '{self.mini_batch_size}' cuts within files, and mini_batch_format is 'files'; "
                "give a number of files, or the format pandas, pyarrow or numpy",
            )
        if self.mini_batch_format == "files" and self.on_error == "isolate":
            raise wrong_key(
                "on_error",
                "on_error 'isolate' finds the rows of a table that fail, and mini_batch_format is 'files'; "
                "leave it out, or give the format pandas, pyarrow or numpy",
            )
        return self

    @field_validator("output_file_name")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is None:
            return None
        name = value.removesuffix("/")
        if "/" in name or name in ("", ".", "..") or len(name.encode()) > 200:
            raise ValueError(
                "expected the name of a file, without a folder and at most 200 bytes long; one with a slash behind "
                "it is a folder of files"
            )
        return value

    @model_validator(mode="after")
    def _one_format(self) -> ModelDeploymentSettings:
        try:
            rows_file(self.output_file_name, self.output_format)
        except ValueError as error:
            raise wrong_key("output_file_name", str(error)) from None
        if self.output_format == "azureml" and self.output_columns:
            raise wrong_key(
                "output_columns",
                "output_columns has no meaning with output_format azureml, whose layout has what run() returned and "
                "nothing else; leave one out",
            )
        return self


class Deployment(Spec):
    """What model and pipeline deployments share."""

    name: EndpointName
    endpoint_name: str = ""
    description: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)


class ScoringDeployment(Deployment):
    """What the engine scores with: a model deployment, or a parallel step."""

    type: Literal["model", "parallel"]
    model: str | Model | None = None
    code_configuration: CodeConfiguration | None = None
    environment: str | Environment | None = None
    compute: str = "local"
    resources: Resources = Resources()
    settings: ModelDeploymentSettings = ModelDeploymentSettings()

    @property
    def groups(self) -> tuple[str, ...]:
        """The keys by which files or rows belong together: a mini-batch is one item, with any number of rows."""
        return ()

    @model_validator(mode="after")
    def _params_have_a_meaning(self) -> ScoringDeployment:
        if self.code_configuration and self.settings.mlflow_params:
            raise wrong_key(
                "settings.mlflow_params",
                "mlflow_params has no meaning with code_configuration, whose script calls the model; leave one out",
            )
        return self

    @property
    def isolates_rows(self) -> bool:
        """Is a table that fails scored again in parts, down to the rows that fail?"""
        return (self.settings.on_error or ("fail" if self.code_configuration else "isolate")) == "isolate"

    @model_validator(mode="after")
    def _output_name_has_a_meaning(self) -> ScoringDeployment:
        settings = self.settings
        given = {
            # Azure ML's own name says no more than none
            "output_file_name": settings.output_file_name not in (None, DEFAULT_NAME),
            "output_format": settings.output_format,
        }
        for key, said in given.items():
            if settings.output_action == "summary_only" and said:
                raise wrong_key(
                    f"settings.{key}", f"{key} has no meaning with output_action summary_only; leave one out"
                )
        return self


class ModelDeployment(ScoringDeployment):
    """Model + compute, with a scoring script and an environment where MLflow needs none
    (modelBatchDeployment.schema.json, and its legacy layout with the settings at the root)."""

    legacy_keys: ClassVar[tuple[str, ...]] = (*ModelDeploymentSettings.model_fields, "instance_count")

    type: Literal["model"] = "model"
    model: str | Model

    @model_validator(mode="before")
    @classmethod
    def _one_layout(cls, document: Any) -> Any:
        """Settings may stand at the root (the legacy layout, which Azure's own foundation-model samples use),
        and the node count in ``settings`` or in ``resources``: bring both to one place."""
        if not isinstance(document, dict) or not isinstance(document.get("settings") or {}, dict):
            return document
        settings = dict(document.get("settings") or {})
        at_root = {key: document[key] for key in cls.legacy_keys if key in document}
        if both := sorted(set(at_root) & set(settings)):
            raise wrong_key(both[0], f"'{both[0]}' stands at the root and in settings; keep one of them")
        rest = {key: value for key, value in document.items() if key not in at_root}
        settings |= at_root
        if rest.get("code_configuration") and settings.get("mini_batch_size") is None:
            settings["mini_batch_size"] = MINI_BATCH_FILES
        resources = rest.get("resources") or {}
        if "instance_count" in settings and isinstance(resources, dict):
            nodes = settings.pop("instance_count")
            other = resources.get("instance_count", nodes)
            if other != nodes:
                raise wrong_key(
                    "instance_count" if "instance_count" in at_root else "settings.instance_count",
                    f"instance_count is {nodes} here and {other} in resources; keep one of them",
                )
            rest["resources"] = {**resources, "instance_count": nodes}
        return {**rest, "settings": settings}


class ParallelStep(ScoringDeployment):
    """A parallel step of a pipeline, frozen into its job: a scoring script without a model, over any number of inputs
    and outputs; see ``planning/steps/parallel_step.py``."""

    type: Literal["parallel"] = "parallel"
    name: str = Field(description="the component's, for people")
    code_configuration: CodeConfiguration
    input_data: str = Field(description="the input that is cut into mini-batches; all others are side inputs")
    program_arguments: str = Field("", description="of the script, with ${{inputs.x}}, ${{outputs.y}} and $[[…]]")
    append_row_to: str = Field("", description="the output that gets the rows; '' keeps none")
    partition_keys: tuple[str, ...] = Field((), description="columns or folder names: equal values, one mini-batch")
    mini_batch_error_threshold: Threshold = Field(-1, description="failed mini-batches allowed; -1 any number")

    @property
    def groups(self) -> tuple[str, ...]:
        return self.partition_keys


class PipelineSettings(Spec):
    """How a pipeline component deployment runs its steps."""

    default_compute: str = ""
    default_datastore: str = ""
    continue_on_step_failure: bool = True
    force_rerun: bool = False
    environment_variables: Strings = Field(default_factory=dict, description="for all steps; a step's own win")


class PipelineComponentDeployment(Deployment):
    """A graph of components behind an endpoint (pipelineComponentBatchDeployment.schema.json)."""

    type: Literal["pipeline"] = "pipeline"
    component: str | PipelineComponent | None = None
    job_definition: str | dict[str, Any] | None = None
    settings: PipelineSettings = PipelineSettings()

    @model_validator(mode="before")
    @classmethod
    def _variables_in_settings(cls, document: Any) -> Any:
        """Environment variables may stand at the root, as in a model deployment."""
        if not isinstance(document, dict) or "environment_variables" not in document:
            return document
        settings = document.get("settings") or {}
        if not isinstance(settings, dict):
            return document
        if settings.get("environment_variables"):
            raise wrong_key(
                "environment_variables",
                "'environment_variables' stands at the root and in settings; keep one of them",
            )
        rest = {key: value for key, value in document.items() if key != "environment_variables"}
        return {**rest, "settings": {**settings, "environment_variables": document["environment_variables"]}}

    @model_validator(mode="after")
    def _one_source(self) -> PipelineComponentDeployment:
        if (self.component is None) == (self.job_definition is None):
            raise ValueError("expected one of component and job_definition")
        return self


def _kind(document: Any) -> str:
    kind = document.get("type") if isinstance(document, dict) else getattr(document, "type", None)
    return str(kind or "model")


AnyDeployment = Annotated[
    Annotated[ModelDeployment, Tag("model")] | Annotated[PipelineComponentDeployment, Tag("pipeline")],
    Discriminator(_kind),
]
DEPLOYMENT: TypeAdapter[ModelDeployment | PipelineComponentDeployment] = TypeAdapter(AnyDeployment)
"""Reads either kind; without ``type`` it is a model deployment, as in the legacy layout."""
