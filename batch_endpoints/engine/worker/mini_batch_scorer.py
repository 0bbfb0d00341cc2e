"""One worker's code on its machine: scores one mini-batch after the other with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from batch_endpoints.engine.interpreter import job_interpreter
from batch_endpoints.engine.worker.deployed_code import (
    default_format,
    mini_batch_format,
    model_here,
    scoring_contract,
)
from batch_endpoints.engine.worker.mini_batch_inputs import MiniBatchFiles, TableReader
from batch_endpoints.engine.worker.outcome import Failure, Outcome, PoisonRow
from batch_endpoints.engine.worker.score_tables import (
    better_as_files,
    better_as_rows,
    refuse_paths,
    score_as_rows,
    score_tables,
)
from batch_endpoints.engine.worker.side_inputs import protected_inputs, script_arguments, side_inputs_here
from batch_endpoints.environments.interpreters import Interpreter
from batch_endpoints.planning.job_plan import MiniBatch
from batch_endpoints.planning.steps.partition_groups import folder_values
from batch_endpoints.scoring.contract import Scored, UserError
from batch_endpoints.scoring.scoring_contract import ScoringContract
from batch_endpoints.scoring.worker import ScoringWorker, WorkerStopped
from batch_endpoints.settings import Settings
from batch_endpoints.specs import ParallelStep, ScoringJob, TableReading
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.node_copies import NodeCopy
from batch_endpoints.storage.job.commits import CommittedFile
from batch_endpoints.storage.job.job_folder import PARTITIONS, JobFolder
from batch_endpoints.storage.outputs.script_files import store_files
from batch_endpoints.storage.tables.parts import PartReader, reading_of


class MiniBatchScorer:
    """Brings code, model and input to this machine, and scores.

    All but ``stop`` is for one thread at a time.

    Args:
        folder: the job folder.
        job: what is in there.
        input_root: what the plan's paths are relative to.
        scratch: a folder of this worker's own.
        log: file for what the code prints.
    """

    def __init__(self, folder: JobFolder, job: ScoringJob, input_root: str, scratch: Path, log: Path) -> None:
        self._folder, self._job, self._input_root = folder, job, input_root
        self._scratch, self._log = scratch, log
        self._of_driver = input_root == f"{folder.uri}/{PARTITIONS}"  # tables that the job's driver has made
        self._access = Access.of_deployment(job) if self._of_driver else Access.of(job)
        self._interpreter: Interpreter | None = None
        self._model: NodeCopy | None = None
        self._side_inputs: dict[str, NodeCopy] = {}
        self._ready: tuple[ScoringContract, ScoringWorker] | None = None
        self._reader: TableReader | None = None
        self._fetcher: MiniBatchFiles | None = None
        self._notes: list[str] = []
        self._stopped = threading.Event()

    def get_ready(self, in_parts: bool) -> None:
        """Bring code and model to this machine, once.

        Raises:
            WorkerStopped: ``stop`` was called.
        """
        if self._ready is None:
            if self._stopped.is_set():  # what would be brought here now nobody would remove
                raise WorkerStopped
            settings = Settings.read()
            self._interpreter = job_interpreter(self._job, settings.cache)  # kept while this worker lives
            self._model = model_here(self._job, self._scratch, settings.cache)
            self._side_inputs = side_inputs_here(self._job, self._scratch, settings.cache)
            python, model = self._interpreter.path, self._model.place if self._model else None
            contract = scoring_contract(self._job, python, model, self._scratch, self._log)
            contract = replace(
                contract,
                arguments=script_arguments(self._job, self._side_inputs, contract.output_folder),
                mini_batch_format=mini_batch_format(self._job, in_parts),
                default_format=default_format(self._job, in_parts or self._of_driver or bool(self._reading.format)),
                memory_share=settings.memory_share,
                read_only=protected_inputs(self._job, self._side_inputs, self._scratch),
                environment_variables={**self._interpreter.variables, **contract.environment_variables},
            )
            self._ready = contract, ScoringWorker(contract)
            self._stop_if_asked()

    def score(
        self,
        mini_batch: MiniBatch,
        following: MiniBatch | None,
        outcome: Outcome,
        before_try: Callable[[int], None],
    ) -> None:
        """Fetch and score a mini-batch into ``outcome``; ``get_ready`` comes before.

        Args:
            following: what will probably be next, to be fetched meanwhile.
            before_try: see ``score_rows``.

        Raises:
            InitFailed: the code cannot be loaded.
            WorkerStopped: ``stop`` was called.
            StoreUnavailable: the input may be read later.
        """
        assert self._ready
        worker, keys = self._ready[1], self._job.deployment.groups
        worker.about(mini_batch.number, folder_values(mini_batch.files[0], keys) or {})
        if worker.takes_tables():
            reader, deployment = self._tables(), self._job.deployment
            reader.begin(mini_batch, following)
            score_tables(worker, reader, mini_batch.ranges(), deployment, outcome, before_try)
            again = better_as_files(outcome, mini_batch.ranges(), deployment)
            for file in again:  # they have not failed yet
                del outcome.failed[file]
            for file in again:
                before_try(0)
                self._score_files(worker, MiniBatch(mini_batch.number, [file]), None, outcome)
            return
        refuse_paths(self._job.deployment, bool(mini_batch.parts))
        self._notes = self._notes_on_paths
        self._score_files(worker, mini_batch, following, outcome)
        for file in better_as_rows(outcome, self._job.deployment):
            self._tables().begin(MiniBatch(mini_batch.number, [file]), None)
            score_as_rows(worker, self._tables(), file, self._job.deployment, outcome, before_try)

    def store_written(self, written: list[CommittedFile], notes: list[str]) -> None:
        """Bring what the script has written by now to the job folder; tells these files, and what is to be noted."""
        assert self._ready
        notes += self._notes
        notes += [copy.note for copy in self._copies if copy.note]
        contract, worker = self._ready
        if worker.has_written():  # which is not so behind nearly every mini-batch
            of_init = worker.files_of_init()
            found = store_files(self._folder.files, contract.output_folder, notes.append, of_init, contract.scratch)
            written += self._of_outputs(found, notes)

    def begin_anew(self) -> None:
        """Drop what a mini-batch that ended in the middle has left: its files must not count as the next one's."""
        if self._ready:
            self._ready[1].close()
        for inputs in (self._reader, self._fetcher):
            if inputs:
                inputs.stop()
        self._reader = self._fetcher = None

    def stop(self) -> None:
        """End what is being scored; from any thread. Nothing can be scored any more."""
        self._stopped.set()
        self._stop_if_asked()

    def shut_down(self) -> None:
        """Let the script end by itself; nothing is scored after it."""
        if self._ready and not self._stopped.is_set():
            self._ready[1].shut_down()

    def close(self) -> None:
        """End the host, and let go of the interpreter."""
        if self._ready:
            self._ready[1].close()
        for kept in (self._interpreter, *self._copies):
            if kept:
                kept.close()

    @property
    def _copies(self) -> list[NodeCopy]:
        return [*([self._model] if self._model else []), *self._side_inputs.values()]

    def _of_outputs(self, written: list[CommittedFile], notes: list[str]) -> list[CommittedFile]:
        """Those of these files that are in an output of a parallel step, for which there are folders."""
        if not isinstance(self._job.deployment, ParallelStep):
            return written
        names = self._job.outputs
        for file in written:
            if file.name.partition("/")[0] not in names:
                notes.append(f"a script wrote '{file.name}' outside of the folders of its outputs: it is left out")
        return [file for file in written if file.name.partition("/")[0] in names]

    def _score_files(
        self, worker: ScoringWorker, mini_batch: MiniBatch, following: MiniBatch | None, outcome: Outcome
    ) -> None:
        """Score whole files by their paths."""
        with self._paths().of(mini_batch, following) as (paths, errors):
            for item in mini_batch.files:
                outcome.failed.pop(item, None)
            outcome.failed |= {item: Failure(UserError("", str(error))) for item, error in errors.items()}
            if paths and not (errors and self._job.deployment.groups):
                scored, attempts = worker.score(list(paths.values()), list(paths))
                outcome.attempts += attempts
                outcome.tables += _by_file(scored, mini_batch.files)
                outcome.unattributed = outcome.unattributed or scored.unattributed
                if scored.rows_read:
                    outcome.rows_read = (outcome.rows_read or {}) | scored.rows_read
                outcome.failed |= {item: Failure(why, attempts) for item, why in scored.failed.items()}
                outcome.rows += [
                    PoisonRow(item, row, Failure(why, attempts))
                    for item, rows in scored.failed_rows.items()
                    for row, why in rows.items()
                ]

    @cached_property
    def _notes_on_paths(self) -> list[str]:
        """What a user should know where the script's run() takes paths."""
        if not self._reading.differs:
            return []
        return [
            "the transformations of the MLTable are not applied: the script's run() takes paths, and reads the files "
            "itself; annotate its parameter with pandas.DataFrame to get them as the table says"
        ]

    @cached_property
    def _reading(self) -> TableReading:
        """How the files of an input of type mltable are read."""
        of_table = any(given.type == "mltable" for given in self._job.inputs.values())
        columns = self._folder.plan_columns() if of_table else None
        return TableReading() if columns is None else reading_of(columns)

    def _tables(self) -> TableReader:
        """What reads the parts of the stored plan."""
        if self._reader is None:
            columns, isolates = self._folder.plan_columns(), self._job.deployment.isolates_rows
            scratch = self._scratch / "tables"
            reader = PartReader(self._input_root, columns, scratch, self._access, isolates=isolates)
            self._reader = TableReader(reader)
            self._stop_if_asked()
        return self._reader

    def _paths(self) -> MiniBatchFiles:
        """What brings whole files."""
        if self._fetcher is None:
            self._fetcher = MiniBatchFiles(self._input_root, self._scratch / "input", self._access)
            self._stop_if_asked()
        return self._fetcher

    def _stop_if_asked(self) -> None:
        """Also what came into being while ``stop`` was called."""
        if not self._stopped.is_set():
            return
        if self._ready:
            self._ready[1].stop()
        for inputs in (self._reader, self._fetcher):
            if inputs:
                inputs.stop()


def _by_file(scored: Scored, files: Sequence[str]) -> Iterator[tuple[str, int, pa.Table]]:
    """The rows as ``Outcome.tables`` has them; file by file where others have failed, of which rows may succeed."""
    if scored.failed and scored.rows_of:
        yield from ((file, 0, table) for file, table in scored.by_file())
    elif scored.table is not None:
        yield files[0], 0, scored.table
