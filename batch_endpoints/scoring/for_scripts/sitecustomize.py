"""Run by the host, and by each Python that a script starts: what the script finds, its children find as well.

This folder is on PYTHONPATH, so ``site`` imports this file when an interpreter starts. Standard library only, Python
3.8's syntax.
"""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CODE, LEVEL = "BATCH_HOST_CODE", "BATCH_HOST_LOG_LEVEL"
"""Variables of the host's children: the folders of the script's own modules, and the deployment's logging_level."""


def set_up() -> None:
    """Let siblings of the script and ``azureml_user`` be found, after anything else, and loggers be heard."""
    import logging

    code = os.environ.get(CODE, "").split(os.pathsep)
    rest = [place for place in sys.path if os.path.abspath(place or ".") != HERE]
    sys.path[:] = [*rest, *(place for place in code if place and place not in rest), HERE]
    level = os.environ.get(LEVEL, "")
    if level:
        logging.getLogger().setLevel(level)
        if logging.lastResort is not None:
            logging.lastResort.setLevel(level)  # of what has no handler


def _run_the_one_behind() -> None:
    """The interpreter's own ``sitecustomize``, which this one hides."""
    import importlib.machinery
    import importlib.util

    others = [place for place in sys.path if os.path.abspath(place or ".") != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    try:
        _run_the_one_behind()
    finally:
        set_up()
