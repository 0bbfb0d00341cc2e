"""Trains the model of this example and writes the data it scores.

    python prepare.py [folder] [--files N]

The measurements of 569 tumors ship with scikit-learn. A third of them trains a classifier, which MLflow logs with its
run in `mlflow.db`; what it logged is put to `model/`. The other tumors become CSV files in `data/`.
"""

import argparse
import shutil
from pathlib import Path

import mlflow
import mlflow.sklearn
import numpy as np
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("folder", nargs="?", default=Path(__file__).parent, type=Path)
parser.add_argument("--files", default=40, type=int)
arguments = parser.parse_args()

tumors, benign = load_breast_cancer(return_X_y=True, as_frame=True)
known, new, known_benign, _ = train_test_split(tumors, benign, train_size=1 / 3, random_state=0)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(known, known_benign)

folder = arguments.folder
mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
EXPERIMENT = "tumors"
if mlflow.get_experiment_by_name(EXPERIMENT) is None:
    mlflow.create_experiment(EXPERIMENT, artifact_location=(folder / "mlruns").resolve().as_uri())
mlflow.set_experiment(EXPERIMENT)
with mlflow.start_run():
    mlflow.log_metric("training_accuracy", model.score(known, known_benign))
    logged = mlflow.sklearn.log_model(model, name="tumor", signature=infer_signature(known, model.predict(known)))
shutil.rmtree(folder / "model", ignore_errors=True)
mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=str(folder / "model"))

shutil.rmtree(folder / "data", ignore_errors=True)
(folder / "data").mkdir()
for number, rows in enumerate(np.array_split(np.arange(len(new)), arguments.files)):
    new.iloc[rows].to_csv(folder / "data" / f"tumors-{number:03}.csv", index=False)
print(f"model and {arguments.files} CSV files: {folder}/model, {folder}/data")
