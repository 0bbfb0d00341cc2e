"""The unmodified client of Azure ML, in an interpreter of its own that shares nothing with the server's."""

import os
import sys
from pathlib import Path

import pytest
from workspace_server import azure_server

from batch_endpoints.specs import Environment

PYTHON = "BATCH_ENDPOINTS_TEST_AZURE_CLIENT"


@pytest.fixture(scope="session")
def client_python():
    """The interpreter that has azure-ai-ml; `.ci/run azure` makes one."""
    if not (python := os.environ.get(PYTHON)):
        pytest.skip(f"{PYTHON} names no interpreter with azure-ai-ml; `.ci/run azure` makes one")
    return Path(python)


@pytest.fixture(scope="module")
def server(client_python, tmp_path_factory):
    with azure_server(tmp_path_factory.mktemp("server")) as running:
        here = Environment(name="python", version="1", python=sys.executable)
        running.plane.assets.put("environments", here)
        yield running


@pytest.fixture
def project(tmp_path):
    """What a person has beside a notebook."""
    for path, text in {
        "model/weights.txt": "1 2 3",
        "model/deep/empty.txt": "",
        "code/score.py": (
            "import os\n\n\ndef init():\n    print('init', os.environ.get('ADD', ''))\n\n\n"
            "def run(files):\n"
            "    return [f'{os.path.basename(file)} {open(file).read().split()[-1]}' for file in files]\n"
        ),
        "code/score_by_name.py": "import os\n\n\ndef init():\n    pass\n\n\ndef run(files):\n"
        "    return [os.path.basename(file) for file in files]\n",
        "code/broken.py": "def init():\n    raise ValueError('the model is broken')\n\n\n"
        "def run(files):\n    return files\n",
        "data/a.csv": "x\n1\n",
        "data/b.csv": "x\n2\n",
        "data/deep/c.csv": "x\n3\n",
        "steps/scale.py": (
            "import sys\nfrom pathlib import Path\n\ncleaned, factor, totals = sys.argv[1:]\n"
            "values = [int(line) for line in Path(cleaned, 'all.txt').read_text().split()]\n"
            "Path(totals).mkdir(exist_ok=True)\n"
            "Path(totals, 'total.txt').write_text(str(sum(values) * int(factor)))\n"
        ),
        "conda.yml": "name: scoring\ndependencies:\n  - python=3.11\n",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path
