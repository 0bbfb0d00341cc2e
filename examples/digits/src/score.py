"""Scores PNG files: `init()` is called once in each worker process, `run()` for each mini-batch of files."""

import os
from pathlib import Path

import joblib
import pandas as pd
from pixels import pixels_of

model = None


def init():
    global model
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "model" / "nearest.joblib")
    model.set_params(n_neighbors=int(os.environ["DIGITS_NEIGHBOURS"]))


def run(mini_batch):
    images = [pixels_of(file) for file in mini_batch]
    probabilities = model.predict_proba(images)
    return pd.DataFrame(
        {
            "file": [os.path.basename(file) for file in mini_batch],
            "digit": model.classes_[probabilities.argmax(axis=1)],
            "probability": probabilities.max(axis=1),
        }
    )
