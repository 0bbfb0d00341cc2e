"""Trains the model of this example and writes the images it reads.

    python prepare.py [folder] [--files N]

The 1,797 handwritten digits ship with scikit-learn. Half of them train the model, the others become PNG files in
`data/`, each named by its number and the digit it really shows: `0007-is-3.png`.
"""

import argparse
import shutil
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

parser = argparse.ArgumentParser()
parser.add_argument("folder", nargs="?", default=Path(__file__).parent, type=Path)
parser.add_argument("--files", default=200, type=int)
arguments = parser.parse_args()

digits = load_digits()
half = len(digits.images) // 2
model = KNeighborsClassifier().fit(digits.data[:half], digits.target[:half])

folder = arguments.folder
(folder / "model").mkdir(exist_ok=True)
joblib.dump(model, folder / "model" / "nearest.joblib")

shutil.rmtree(folder / "data", ignore_errors=True)
(folder / "data").mkdir()
shown = zip(digits.images[half:], digits.target[half:], strict=True)
for number, (image, digit) in enumerate(list(shown)[: arguments.files]):
    pixels = np.round(image / 16 * 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "data" / f"{number:04}-is-{digit}.png")
print(f"model and {arguments.files} images: {folder}/model, {folder}/data")
