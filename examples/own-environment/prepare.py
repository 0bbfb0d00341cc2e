"""Writes the model of this example, two limits, and the customer reviews that it scores.

python prepare.py [folder] [--files N]
"""

import argparse
import itertools
import json
import shutil
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("folder", nargs="?", default=Path(__file__).parent, type=Path)
parser.add_argument("--files", default=60, type=int)
arguments = parser.parse_args()

THINGS = ["The kettle", "Your hotline", "This tent", "The lamp", "Our new bicycle"]
VERDICTS = {
    "content": ["is great, I love it!", "works perfectly, thank you."],
    "angry": ["is horrible and broke at once.", "was the worst disappointment of the year."],
    "indifferent": ["arrived on Tuesday.", "is made of steel."],
}

folder = arguments.folder
(folder / "model").mkdir(exist_ok=True)
(folder / "model" / "limits.json").write_text(json.dumps({"content": 0.05, "angry": -0.05}))

shutil.rmtree(folder / "data", ignore_errors=True)
(folder / "data").mkdir()
said = [(mood, verdict) for mood, verdicts in VERDICTS.items() for verdict in verdicts]
reviews = itertools.product(said, THINGS)
for number, ((mood, verdict), thing) in zip(range(arguments.files), itertools.cycle(reviews), strict=False):
    (folder / "data" / f"{number:04}-{mood}.txt").write_text(f"{thing} {verdict}\n", encoding="utf-8")
