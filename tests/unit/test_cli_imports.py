"""The command line answers at once: it loads nothing that a client does not need."""

import subprocess
import sys

import pytest

HEAVY = ["ray", "mlflow", "pyarrow", "pandas", "numpy", "sqlalchemy", "fastapi", "uvicorn"]
PROGRAM = f"""
import sys
from batch_endpoints.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("loaded:", [name for name in {HEAVY} + sys.argv_unwanted if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("args", "unwanted"),
    [
        (["--help"], ["requests", "rich", "pydantic"]),
        (["job", "show", "-n", "x", "--server", "http://127.0.0.1:1"], ["pydantic", "rich"]),
        (["endpoint", "list", "-o", "table", "--server", "http://127.0.0.1:1"], ["pydantic"]),
        (["endpoint", "create", "-n", "tumor", "--server", "http://127.0.0.1:1"], []),
        (["endpoint", "invoke", "-n", "tumor", "--input", "s3://b/f", "--server", "http://127.0.0.1:1"], []),
        (["environment", "build", "-f", "no-such.yml"], ["rich"]),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_verbs_of_a_client_load_nothing_heavy(args, unwanted):
    program = PROGRAM.replace("sys.argv_unwanted", repr(unwanted))
    done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "loaded: []"
