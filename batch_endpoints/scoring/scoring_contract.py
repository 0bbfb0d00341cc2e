"""What a worker of a job needs to run its code: where all of it is on this machine, and how it is called."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ScoringContract:
    """What a host needs to run one deployment's code on this machine.

    Args:
        interpreter: path of its Python.
        code: folder with the scoring script; None for an MLflow model without one.
        script: the scoring script, relative to ``code``.
        model_folder: what AZUREML_MODEL_DIR names: the folder that contains what was registered; None for a step
            without a model.
        output_folder: what the script may write into.
        outputs: folders in it, one for each output that a parallel step has.
        rows_output: of these the one that AZUREML_BI_OUTPUT_PATH names; "" is all of ``output_folder``.
        log: file for what the code prints.
        mini_batch_format: what ``run()`` gets; "" is for the script to say.
        default_format: what it gets where its parameter has no annotation.
        arguments: of the script, as in ``sys.argv``.
        groups: keys by which a mini-batch belongs together: it is one item, and may give any number of rows.
        azure_layout: rows become text, in Azure ML's layout.
        environment_variables: the deployment's own; of this process the code gets those of a list, and no secret.
        secret_variables: what the code does not get though it is on that list: stores are entered with it.
        memory_share: of this node's memory; where more is in use, the host that holds most is ended.
        read_only: paths below which the host cannot write, whoever it runs as.
    """

    interpreter: str
    code: Path | None
    script: str
    model_folder: Path | None
    output_folder: Path
    scratch: Path
    log: Path
    environment_variables: Mapping[str, str]
    logging_level: str = "info"
    timeout_seconds: float = 30
    max_retries: int = 3
    mini_batch_format: str = ""
    azure_layout: bool = False
    secret_variables: Collection[str] = ()
    memory_share: float = 0.9
    read_only: tuple[Path, ...] = ()
    outputs: Collection[str] = ()
    rows_output: str = ""
    default_format: str = "files"
    arguments: Sequence[str] = ()
    groups: Sequence[str] = ()
