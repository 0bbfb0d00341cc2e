"""One CSV file is cut into mini-batches of rows that both workers score."""

from __future__ import annotations

import csv

import pandas as pd

SCRIPT = """
import pandas

def run(mini_batch: pandas.DataFrame):
    return pandas.DataFrame({"id": mini_batch["id"], "length": mini_batch["text"].str.len()})
"""


def test_the_rows_of_one_file_come_out_once_and_in_order(server, deploy, tmp_path):
    texts = [f'line {n}\n"quoted", and more' * (n % 3) + "." for n in range(1000)]
    folder = tmp_path / "big"
    folder.mkdir()
    with (folder / "all.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(texts))

    endpoint = deploy("cut-rows", SCRIPT, mini_batch_size="50 rows", max_concurrency_per_instance=2)
    job = server.client.invoke(endpoint, input=str(folder)).wait(timeout_seconds=240)

    assert job.progress.mini_batches == 20
    found = pd.read_csv(f"{job.outputs['score'].uri.removeprefix('file://')}/predictions.csv")
    assert list(found["id"]) == list(range(1000))
    assert list(found["length"]) == [len(text) for text in texts]
