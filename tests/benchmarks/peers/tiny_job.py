"""A tiny batch job as one writes it by hand for ``ray job submit``: ``tiny_job.py FOLDER OUTPUT``.

A task for each file, with the scoring script loaded in the worker, and a CSV of what they return.
"""

import csv
import os
import sys

import ray


@ray.remote(num_cpus=1)
def score(path):
    with open(path) as file:
        return int(file.read()) * 2


if __name__ == "__main__":
    folder, output = sys.argv[1:]
    ray.init(log_to_driver=False, logging_level="warning")
    paths = sorted(entry.path for entry in os.scandir(folder))
    results = ray.get([score.remote(path) for path in paths])
    with open(output, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prediction", "file"])
        writer.writerows((result, os.path.basename(path)) for result, path in zip(results, paths, strict=True))
