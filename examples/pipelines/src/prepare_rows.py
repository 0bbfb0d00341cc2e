"""Leave out rows with a gap, and keep the columns that are scored."""

import argparse
import csv
from itertools import islice
from pathlib import Path

COLUMNS = ("alcohol", "malic_acid", "color_intensity")

parser = argparse.ArgumentParser()
parser.add_argument("source", type=Path)
parser.add_argument("target", type=Path)
parser.add_argument("--limit", type=int)
arguments = parser.parse_args()

for file in sorted(arguments.source.glob("*.csv")):
    with file.open(newline="") as source, (arguments.target / file.name).open("w", newline="") as target:
        rows = (row for row in csv.DictReader(source) if all(row[column] for column in COLUMNS))
        writer = csv.DictWriter(target, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(islice(rows, arguments.limit))
    print(f"{file.name} is clean")
