"""What a script logs with: its own loggers, and ``from azureml_user.parallel_run import EntryScript``.

Loaded by host.py, under the same rules: standard library only, Python 3.8's syntax.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import types


def log_from(level: str) -> None:
    """Let the script's loggers be heard from ``level`` on, also where it sets up no handler."""
    logging.getLogger().setLevel(level)
    if logging.lastResort is not None:
        logging.lastResort.setLevel(level)


def offer_entry_script(level: str) -> None:
    """Let what Azure ML's scripts may import be imported, unless the real one is there."""
    if importlib.util.find_spec("azureml_user") is not None:
        return

    class EntryScript:
        """What Azure ML's parallel runs offer to a script."""

        def __init__(self) -> None:
            self.logger = logging.getLogger("entry_script")
            if not self.logger.handlers:
                self.logger.addHandler(logging.StreamHandler(sys.stdout))
                self.logger.setLevel(level.upper())
            self.output_dir = os.environ.get("AZUREML_BI_OUTPUT_PATH", "")
            self.log_dir = os.environ.get("TMPDIR", "/tmp")
            self.agent_name = f"{os.uname().nodename}-{os.getpid()}"
            self.working_dir = os.getcwd()

    package, module = types.ModuleType("azureml_user"), types.ModuleType("azureml_user.parallel_run")
    setattr(module, "EntryScript", EntryScript)  # noqa: B010
    setattr(package, "parallel_run", module)  # noqa: B010
    sys.modules["azureml_user"], sys.modules["azureml_user.parallel_run"] = package, module
