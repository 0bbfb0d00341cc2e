"""A scoring script reads PNG images; the command line follows the job and downloads what came out."""

from __future__ import annotations

import json

import pandas as pd


def test_images_are_scored_and_the_predictions_downloaded(server, digits, tmp_path):
    server("endpoint", "create", "-f", digits / "endpoint.yml")
    server("deployment", "create", "-f", digits / "deployment.yml", "--set-default")
    name = server("endpoint", "invoke", "-n", "digits", "--input", digits / "data", "--query", "name", "-o", "tsv")

    streamed = server.run("job", "stream", "-n", name.strip())
    assert streamed.returncode == 0, streamed.stderr
    assert "Completed: 60 of 60 items scored, 0 failed, 60 rows" in streamed.stdout

    server("job", "download", "-n", name.strip(), "-p", tmp_path)
    found = pd.read_csv(tmp_path / "named-outputs" / "score" / "digits.csv")
    images = sorted(path.name for path in (digits / "data").iterdir())
    assert list(found["file"]) == images
    right = [int(file[-5]) == digit for file, digit in zip(found["file"], found["digit"], strict=True)]
    assert sum(right) / len(right) > 0.9

    shown = json.loads(server("job", "show", "-n", name.strip()))
    assert shown["status"] == "Completed"
    assert shown["progress"]["rows"] == 60
