"""The pipeline of pipeline.yml, written in Python: it cleans measurements, and scores them.

python examples/pipelines/authored.py                 print it as YAML
python examples/pipelines/authored.py DATA            run it over the CSV files in a folder
"""

from __future__ import annotations

import csv
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

from batch_endpoints import Input, Output, command_component, parallel_component, pipeline

COLUMNS = ("alcohol", "malic_acid", "color_intensity")


@command_component(name="wine_prepare")
def prepare(
    measurements: Annotated[Path, Input(type="uri_folder")],
    clean: Annotated[Path, Output(type="uri_folder")],
    limit: Annotated[int | None, Input(min=1, description="rows of each file; all where it is left out")] = None,
):
    """Leave out rows with a gap, and keep the columns that are scored."""
    for file in sorted(measurements.glob("*.csv")):
        with file.open(newline="") as source, (clean / file.name).open("w", newline="") as target:
            rows = (row for row in csv.DictReader(source) if all(row[column] for column in COLUMNS))
            writer = csv.DictWriter(target, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(islice(rows, limit))
        print(f"{file.name} is clean")


@parallel_component(name="wine_score", mini_batch_size=2, retry_settings={"max_retries": 2, "timeout": 60})
def run(clean: Annotated[list[str], Input(type="uri_folder")], threshold: float = 13.0):
    """Which wines are strong: one row for each wine."""
    import pandas as pd

    frames = []
    for path in clean:
        wines = pd.read_csv(path)
        frames.append(wines.assign(file=Path(path).name, strong=wines["alcohol"] >= threshold))
    return pd.concat(frames)


@pipeline(name="wine_scoring", display_name="Prepare and score")
def wine_scoring(
    measurements: Annotated[Path, Input(type="uri_folder", description="CSV files with a header")],
    limit: Annotated[int | None, Input(min=1)] = None,
    threshold: Annotated[float, Input(min=0, max=20, description="alcohol in percent")] = 13.0,
):
    prepared = prepare(measurements=measurements, limit=limit)
    scored = run(clean=prepared.outputs.clean, threshold=threshold)
    return {"scores": scored.outputs.rows}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        job = wine_scoring.run(measurements=sys.argv[1], threshold=12.5).wait()
        print(f"job {job.name}: {job.status}")
    else:
        print(wine_scoring.yaml(folder="."))
