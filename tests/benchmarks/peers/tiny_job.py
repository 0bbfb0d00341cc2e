"""A tiny batch job as one writes it by hand for ``ray job submit``: ``tiny_job.py FOLDER OUTPUT``.

A task for each file, and a CSV of what they return. With ``--alone`` behind it, what is the least that Ray Jobs take:
the same without a task, by somebody who knows that there is only one file.
"""

import csv
import os
import sys


def score(path):
    with open(path) as file:
        return int(file.read()) * 2


def score_on_cluster(paths):
    import ray

    ray.init(log_to_driver=False, logging_level="warning")
    task = ray.remote(num_cpus=1)(score)
    return ray.get([task.remote(path) for path in paths])


if __name__ == "__main__":
    folder, output, *alone = sys.argv[1:]
    paths = sorted(entry.path for entry in os.scandir(folder))
    results = list(map(score, paths)) if alone else score_on_cluster(paths)
    with open(output, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prediction", "file"])
        writer.writerows((result, os.path.basename(path)) for result, path in zip(results, paths, strict=True))
