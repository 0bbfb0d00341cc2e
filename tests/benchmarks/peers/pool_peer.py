"""A pool of processes, each with its model, that write a Parquet file for each chunk: the limit of what one machine
does. ``pool_peer.py KIND INPUT OUTPUT MODEL WORKERS``, as all peers."""

import sys
from multiprocessing import Pool

import pyarrow.parquet
from tasks import KINDS, chunks

_task = None


def load(kind, model):
    global _task
    _task = KINDS[kind](model)


def score(work):
    paths, target = work
    pyarrow.parquet.write_table(_task.score(paths), target)


if __name__ == "__main__":
    kind, folder, output, model, workers = sys.argv[1:]
    with Pool(int(workers), load, (kind, model)) as pool:
        work = [
            (paths, f"{output}/{number:05}.parquet")
            for number, paths in enumerate(chunks(folder, KINDS[kind].files_at_once))
        ]
        for _ in pool.imap_unordered(score, work):
            pass
