"""What is asked of an endpoint: pointers to data, literals, and what this one job wants different."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from batch_endpoints.specs.base import Description, JobName, OutputName, Spec, Strings, Uri
from batch_endpoints.specs.deployment import snake_case
from batch_endpoints.specs.numbers import LiteralValue, Nodes, Seconds, Threshold, Tries, Whole, Workers, seconds
from batch_endpoints.specs.resources import checked_properties
from batch_endpoints.specs.rows_file import OutputFormat

InputType = Literal["uri_folder", "uri_file", "literal", "mltable", "mlflow_model", "custom_model", "triton_model"]
DATA_TYPES: tuple[InputType, ...] = ("uri_folder", "uri_file", "mltable")


class JobInput(Spec):
    """One input: a pointer to data, or a literal."""

    type: InputType = "uri_folder"
    path: Uri = ""
    value: LiteralValue | None = None
    mode: str = ""

    @model_validator(mode="before")
    @classmethod
    def _literal(cls, document: Any) -> Any:
        """Azure's files call a literal's value ``default``; where there is a value the type need not be said."""
        if not isinstance(document, dict):
            return document
        if "default" in document and "value" not in document:
            document = {("value" if key == "default" else key): value for key, value in document.items()}
        return {"type": "literal", **document} if document.get("value") is not None else document

    @field_validator("type", mode="before")
    @classmethod
    def _any_spelling(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        plain = snake_case(value)
        known = {"mlflow_model": "mlflow_model", "ml_flow_model": "mlflow_model", "mltable": "mltable"}
        literal = {"string", "boolean", "number", "integer"}
        if plain in literal:
            return "literal"
        return {**known, "ml_table": "mltable"}.get(str(plain), plain)


class JobOutput(Spec):
    """Where an output goes; without a path it stays in the job's folder."""

    type: Literal["uri_file", "uri_folder"] = "uri_folder"
    path: Uri = ""
    mode: str = ""

    _any_spelling = field_validator("type", mode="before")(snake_case)


class RetryOverrides(Spec):
    """A job's own retry settings; None keeps the deployment's."""

    max_retries: Tries | None = None
    timeout: Seconds | None = None

    _iso_timeout = field_validator("timeout", mode="before")(seconds)


class Invocation(Spec):
    """A request to score data: pointers, and what this one job wants different from the deployment.

    None means: as the deployment says.
    """

    endpoint: str = Field("", description="in an invocation file: the endpoint, where the caller names none")
    deployment: str = Field("", description="'' is the endpoint's default deployment")
    inputs: dict[str, JobInput] = Field(default_factory=dict)
    outputs: dict[OutputName, JobOutput] = Field(default_factory=dict)
    name: JobName | None = Field(None, description="None: the server makes one up")
    display_name: Description = ""
    description: Description = ""
    experiment_name: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)
    instance_count: Nodes | None = None
    resource_properties: dict[str, Any] = Field(
        default_factory=dict, description="in place of the deployment's resources.properties of the same names"
    )
    mini_batch_size: Whole | str | None = None
    max_concurrency_per_instance: Workers | None = None
    error_threshold: Threshold | None = None
    on_error: str | None = None
    keep_failed_inputs: bool | None = None
    retry_settings: RetryOverrides = RetryOverrides()
    output_file_name: str | None = None
    output_format: OutputFormat | None = None
    mlflow_params: dict[str, Any] = Field(default_factory=dict, description="beside the deployment's, or instead")
    logging_level: str | None = None
    environment_variables: Strings = Field(default_factory=dict)
    overwrite: bool = Field(False, description="ours: replace an existing output")
    compute: str = Field("", description="of a pipeline: for all steps, in place of the one they name")
    force_rerun: bool | None = Field(None, description="of a pipeline: run also what an earlier job has run already")
    jobs: dict[str, Any] = Field(default_factory=dict, description="of a pipeline: settings of one step, by its name")

    _reservations = field_validator("resource_properties")(checked_properties)
