"""Seeded data and models for the workloads that score tables and images."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

FEATURES = [f"f{number:02}" for number in range(20)]
_CODE = Path(__file__).with_name("models") / "probability.py"


def write_parquet(folder: Path, rows: int, files: int) -> None:
    """``id`` (int64) and 20 float32 columns, all rows in as many files."""
    folder.mkdir()
    chance = np.random.default_rng(1)
    for number, ids in enumerate(np.array_split(np.arange(rows, dtype=np.int64), files)):
        columns = {name: chance.standard_normal(len(ids), dtype=np.float32) for name in FEATURES}
        pa.parquet.write_table(pa.table({"id": ids, **columns}), folder / f"part-{number:03}.parquet")


def save_classifier(place: Path) -> Path:
    """A gradient boosting classifier as an MLflow model that returns ids and probabilities."""
    import joblib
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from sklearn.ensemble import HistGradientBoostingClassifier

    chance = np.random.default_rng(2)
    known = chance.standard_normal((20_000, len(FEATURES)), dtype=np.float32)
    positive = known[:, 0] * known[:, 1] + known[:, 2] + chance.standard_normal(len(known)) > 0
    classifier = HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=31, random_state=1).fit(known, positive)
    joblib.dump(classifier, place / "classifier.joblib")
    mlflow.pyfunc.save_model(
        place / "classifier",
        python_model=str(_CODE),
        artifacts={"classifier": str(place / "classifier.joblib")},
        signature=ModelSignature(
            inputs=Schema([ColSpec("long", "id"), *(ColSpec("float", name) for name in FEATURES)]),
            outputs=Schema([ColSpec("long", "id"), ColSpec("double", "probability")]),
        ),
        pip_requirements=["mlflow", "scikit-learn", "pandas", "joblib"],
    )
    return place / "classifier"


def save_regression(place: Path) -> Path:
    """A linear regression of two columns as an MLflow model."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    known = pd.DataFrame({"x": [0.0, 1.0, 0.0, 1.0], "y": [0.0, 0.0, 1.0, 1.0]})
    model = LinearRegression().fit(known, known["x"] * 2 + known["y"])
    mlflow.sklearn.save_model(
        model,
        place / "regression",
        signature=infer_signature(known, model.predict(known)),
        serialization_format="cloudpickle",
        pip_requirements=["mlflow", "scikit-learn", "pandas"],
    )
    return place / "regression"


def write_images(folder: Path, count: int) -> dict[str, float]:
    """PNG files of 32 × 32 grey pixels; returns the mean of each, by name."""
    from PIL import Image

    folder.mkdir()
    chance = np.random.default_rng(3)
    means: dict[str, float] = {}
    for number in range(count):
        pixels = chance.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.png")
        means[f"{number:06}.png"] = float(pixels.mean())
    return means


def write_csvs(folder: Path, files: int, rows: int) -> dict[tuple[str, int], float]:
    """CSV files with columns ``x`` and ``y``; returns 2x + y of each row, by file and row."""
    folder.mkdir()
    chance = random.Random(4)
    expected: dict[tuple[str, int], float] = {}
    for number in range(files):
        name = f"{number:05}.csv"
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["x", "y"])
            for row in range(rows):
                x, y = chance.random(), chance.random()
                writer.writerow([x, y])
                expected[name, row] = 2 * x + y
    return expected
