"""Modules of a model's own, beside those of the driver that scores it."""

import subprocess
import sys
from pathlib import Path

from batch_endpoints.scoring import mlflow_driver

SCORING = Path(mlflow_driver.__file__).parent
SOURCE = """
import importlib.util, sys
sys.path.insert(0, {scoring!r})
import host
host._load({{"script": {script!r}, "code": {scoring!r}, "log_level": "info"}})
print([name for name in {names!r} if importlib.util.find_spec(name)])
"""


def test_none_of_our_files_is_found_where_a_model_imports_a_module_of_its_name():
    names = [path.stem for path in SCORING.glob("*.py") if path.stem not in ("__init__", "host", "mlflow_driver")]
    source = SOURCE.format(scoring=str(SCORING), script=str(SCORING / "mlflow_driver.py"), names=names)

    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert "signature" in names
    assert found.stdout.strip() == "[]"
