"""Writes the model of this example, the weights of a linear regression, and one CSV file that it scores in parts.

    python prepare.py [folder] [--rows N]

The measurements of 442 patients ship with scikit-learn. They train the regression; drawn again and again, each with a
note that has line breaks and quotes in it, they become the file.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

parser = argparse.ArgumentParser()
parser.add_argument("folder", nargs="?", default=Path(__file__).parent, type=Path)
parser.add_argument("--rows", default=200_000, type=int)
arguments = parser.parse_args()

patients, progression = load_diabetes(return_X_y=True, as_frame=True)
regression = LinearRegression().fit(patients, progression)

folder = arguments.folder
(folder / "model").mkdir(exist_ok=True)
weights = dict(zip(patients.columns, regression.coef_, strict=True))
(folder / "model" / "weights.json").write_text(json.dumps({"intercept": regression.intercept_, **weights}))

drawn = patients.iloc[np.random.default_rng(0).integers(0, len(patients), arguments.rows)].round(6)
(folder / "data").mkdir(exist_ok=True)
with (folder / "data" / "patients.csv").open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "note", *patients.columns])
    for number, values in enumerate(drawn.itertuples(index=False)):
        writer.writerow([number, 'seen twice,\nfeels "fine"' if number % 3 else "", *values])
