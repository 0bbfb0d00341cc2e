"""Ray Data by hand: warm actors that read, score and write a chunk each, in one operator. This was faster than
``read_parquet().map_batches().write_parquet()`` wherever it was tried, and cannot starve its own reader of CPUs."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import pyarrow.parquet
import ray.data
from tasks import KINDS, chunks

PEERS = os.path.dirname(os.path.abspath(__file__))


class Scorer:
    def __init__(self, kind, model, output):
        self._task, self._output = KINDS[kind](model), output

    def __call__(self, batch):
        for number, paths in zip(batch["number"], batch["paths"], strict=True):
            pyarrow.parquet.write_table(self._task.score(list(paths)), f"{self._output}/{number:05}.parquet")
        return {"number": batch["number"]}


if __name__ == "__main__":
    kind, folder, output, model, workers = sys.argv[1:]
    ray.init(runtime_env={"env_vars": {"PYTHONPATH": PEERS}}, log_to_driver=False, logging_level="warning")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.print_on_execution_start = False, False
    items = [
        {"number": number, "paths": paths} for number, paths in enumerate(chunks(folder, KINDS[kind].files_at_once))
    ]
    scored = ray.data.from_items(items, override_num_blocks=min(len(items), 32)).map_batches(
        Scorer,
        fn_constructor_args=(kind, model, output),
        batch_size=None,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=int(workers)),
    )
    assert scored.count() == len(items)
