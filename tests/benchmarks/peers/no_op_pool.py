"""A no-op for each file in a pool, and a CSV of what it returned: ``no_op_pool.py INPUT OUTPUT WORKERS``."""

import csv
import os
import sys
from multiprocessing import Pool


def run(mini_batch):
    return [1 for _ in mini_batch]


def one(path):
    return os.path.basename(path), run([path])[0]


if __name__ == "__main__":
    folder, output, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    paths = sorted(entry.path for entry in os.scandir(folder))
    with Pool(workers) as pool, open(output, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prediction", "file"])
        writer.writerows((value, name) for name, value in pool.imap(one, paths, chunksize=100))
