"""Sleeps as long as each file says, in a pool: ``sleep_pool.py INPUT WORKERS``.

Prints a row for each file: its name, when it began and ended, and the process.
"""

import json
import os
import sys
import time
from multiprocessing import Pool


def one(path):
    began = time.time()
    with open(path) as file:
        time.sleep(float(file.read()))
    return os.path.basename(path), began, time.time(), os.getpid()


if __name__ == "__main__":
    folder, workers = sys.argv[1], int(sys.argv[2])
    with Pool(workers) as pool:
        print(json.dumps(pool.map(one, sorted(entry.path for entry in os.scandir(folder)), chunksize=1)))
