"""One CSV file is cut into mini-batches of rows that both workers score: ``examples/big-table``."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd

ROWS = 3000


def test_the_rows_of_one_file_come_out_once_and_in_order(server, examples, tmp_path):
    folder = examples / "big-table"
    subprocess.run([sys.executable, folder / "prepare.py", folder, f"--rows={ROWS}"], check=True)
    server("endpoint", "create", "-f", folder / "endpoint.yml")
    server("deployment", "create", "-f", folder / "deployment.yml", "--set-default")
    job = json.loads(
        server("endpoint", "invoke", "-n", "diabetes", "--input", folder / "data", "-m", "30KB", "--stream")
    )["name"]

    assert server.client.job(job).progress.mini_batches > 8
    server("job", "download", "-n", job, "-p", tmp_path)
    found = pd.read_parquet(tmp_path / "named-outputs" / "score" / "predictions.parquet")
    given = pd.read_csv(folder / "data" / "patients.csv")
    weights = pd.Series(json.loads((folder / "model" / "weights.json").read_text()))
    features = weights.drop("intercept")
    assert list(found["id"]) == list(range(ROWS))
    np.testing.assert_allclose(found["progression"], given[features.index] @ features + weights["intercept"])
