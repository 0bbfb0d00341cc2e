"""``from azureml_user.parallel_run import EntryScript``; standard library only, Python 3.8's syntax."""

from __future__ import annotations

import logging
import os
import sys


class EntryScript:
    """A logger that is heard from the deployment's logging_level on, and the folders of the run."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("entry_script")
        if not self.logger.handlers:
            self.logger.addHandler(logging.StreamHandler(sys.stdout))
            self.logger.setLevel(os.environ.get("BATCH_HOST_LOG_LEVEL", "INFO"))
        self.output_dir = os.environ.get("AZUREML_BI_OUTPUT_PATH", "")
        self.log_dir = os.environ.get("TMPDIR", "/tmp")
        self.agent_name = f"{os.uname().nodename}-{os.getpid()}"
        self.working_dir = os.getcwd()
