"""Scores mini-batches with the user's code: keeps a host process alive, tries again, and says what failed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from batch_endpoints.errors import HostKilled, HostLost, InitFailed, MemoryShort, RunFailed
from batch_endpoints.policies.retry import MOST_MEMORY_KILLS, may_retry, memory_pause_seconds, pause_seconds
from batch_endpoints.processes.surroundings import copy_code, inherited_variables
from batch_endpoints.scoring.azure_layout import as_text
from batch_endpoints.scoring.contract import Scored, UserError, returned_rows, scored_files
from batch_endpoints.scoring.host_process import HostProcess
from batch_endpoints.scoring.replies import ErrorReply, ItemsReply, LoadedReply, Reply, RowsReply
from batch_endpoints.scoring.scoring_contract import ScoringContract
from batch_endpoints.scoring.script_output import ScriptOutput
from batch_endpoints.scoring.table_batches import TableBatch, scored_table
from batch_endpoints.scoring.worker_log import WorkerLog

INIT_SECONDS = 600.0  # loading a large model is allowed to take long (Azure ML: first_task_creation_timeout)
INIT_TRIES = 3  # of a host that is killed while it loads the code; an error of the code itself is final
OWN_END_SECONDS = 0.5  # of a worker whose host was killed: then nobody hears what became of the host
MLFLOW_DRIVER = Path(__file__).with_name("mlflow_driver.py")


class WorkerStopped(Exception):
    """The worker was told to end in the middle of a mini-batch, of which nothing counts."""


class ScoringWorker:
    """One worker: a host process that is replaced when it is lost.

    Args:
        wait: pauses for some seconds, or until the event is set.
    """

    def __init__(
        self, contract: ScoringContract, wait: Callable[[threading.Event, float], object] = threading.Event.wait
    ) -> None:
        self._contract, self._wait = contract, wait
        self._log = WorkerLog(contract.log)
        self._host: HostProcess | None = None
        self._has_worked = False
        self._format = ""
        self._context: dict[str, Any] = {}
        self._output = ScriptOutput(contract.output_folder, contract.outputs)
        self._starting, self._stopped = threading.Lock(), threading.Event()
        # a script may write beside itself: it gets a copy, the deployment's code stays as it is
        self._code = contract.scratch / "code"
        if contract.code is not None:
            copy_code(contract.code, self._code)
        else:
            self._code.mkdir(parents=True)
        self._home = contract.scratch / "home"
        self._home.mkdir(exist_ok=True)

    def about(self, mini_batch: int, values: Mapping[str, str | None]) -> None:
        """What a script is given besides, of the mini-batch that comes next, if its ``run()`` asks for it.

        Args:
            values: of the keys that its files' folders name.
        """
        self._context = {"minibatch_index": mini_batch, "partition_key_value": values}

    def takes_tables(self) -> bool:
        """Does ``run()`` get tables? A script says so when it is loaded.

        Raises:
            InitFailed: as ``score``.
            WorkerStopped: ``stop`` was called.
        """
        if not self._format:
            self._ready_host()
        return self._format != "files"

    def score_table(self, batch: TableBatch, *, once: bool = False) -> tuple[Scored, int]:
        """As ``score``, for a script or model that takes tables; all of a table fails, or nothing.

        Args:
            once: never try again, since parts of it will be tried instead.
        """
        answer = self._score(batch.items, lambda host: self._run_table(host, batch), once)
        if not batch.table.num_rows:  # a try that only asks: what it wrote is of nothing
            self._empty_output()
        return answer

    def score(self, paths: Sequence[str], items: Sequence[str]) -> tuple[Scored, int]:
        """Score one mini-batch, trying again as often as the deployment allows.

        Args:
            paths: its files on this machine's disk.
            items: the same files, relative to the input.

        Returns: what came of it, and the number of tries. What could not be scored is in ``failed``. The output
            folder then holds what the script wrote for those that could.

        Raises:
            InitFailed: the code cannot even be loaded, so no mini-batch will ever be scored; the user's stack
                is its ``mend``.
            WorkerStopped: ``stop`` was called.
        """
        return self._score(items, lambda host: self._run_files(host, paths, items))

    def _score(
        self, items: Sequence[str], run: Callable[[HostProcess], Scored], once: bool = False
    ) -> tuple[Scored, int]:
        retries, most_kills = (0, 1) if once else (self._contract.max_retries, MOST_MEMORY_KILLS)
        tries = kills = 0
        while True:
            tries += 1
            scored = self._try(items, run)
            if not scored.failed:
                return scored, tries
            self._log.failed(tries, scored.failed)
            if any(error.of_node for error in scored.failed.values()):
                kills += 1  # perhaps because of others: it uses up no try
                again, pause = kills < most_kills, memory_pause_seconds(kills, random.random())
            else:
                may_pass = any(error.may_pass for error in scored.failed.values())
                again = may_pass and may_retry(tries - kills, retries)
                pause = pause_seconds(tries - kills, random.random())
            if again or len(scored.failed) == len(items):
                self._empty_output()
            if not again:
                return scored, tries
            self._pause(pause)

    def has_written(self) -> bool:
        """Is anything in the output folder? To be asked when what was there is stored: between two mini-batches."""
        return not self._output.is_empty()

    def files_of_init(self) -> set[Path]:
        """Those in the output folder that ``init()`` has made, and not a mini-batch; each is told once.

        Every host makes them anew, those of other workers as well.
        """
        return self._output.take_of_init()

    def stop(self) -> None:
        """End the host now, whatever it does; from any thread. Nothing can be scored any more."""
        with self._starting:
            self._stopped.set()
            if host := self._host:
                host.kill()

    def shut_down(self) -> None:
        """Let the script end by itself, where it has a ``shutdown()``: nothing is scored after it. What goes wrong
        there, and what it writes, is no mini-batch's any more: the log has it."""
        if self._host is None:
            return
        try:
            reply = self._host.call({"op": "shutdown"}, self._contract.timeout_seconds)
        except HostLost as lost:
            self._host = None
            if isinstance(lost, HostKilled):  # from outside, with its worker: all that it was asked for is done
                self._log.cut_off()
            elif not self._stopped.is_set():
                self._log.not_shut_down(lost.what, "")
            return
        if isinstance(reply, ErrorReply):
            error = UserError.of(reply.error)
            self._log.not_shut_down(error.headline, error.stack)
        elif not self._output.is_empty():
            self._log.not_shut_down("it wrote files, which are in no output: write them in run()", "")

    def close(self) -> None:
        """End the host and let go of it; from the thread that scores."""
        if self._host:
            self._host.close()
            self._host = None

    def _run_files(self, host: HostProcess, paths: Sequence[str], items: Sequence[str]) -> Scored:
        reply = host.call({**self._request(), "paths": list(paths)}, self._contract.timeout_seconds)
        return self._scored(reply, items, lambda rows: scored_files(rows, items))

    def _run_table(self, host: HostProcess, batch: TableBatch) -> Scored:
        request = {**self._request(), "rows": batch.table.num_rows}
        reply = host.call(request, self._contract.timeout_seconds, batch.payload())
        return self._scored(reply, batch.items, lambda rows: scored_table(rows, batch))

    def _request(self) -> dict[str, Any]:
        return {"op": "run", "context": self._context, "groups": list(self._contract.groups)}

    def _scored(self, reply: Reply, items: Sequence[str], read: Callable[[RowsReply | ItemsReply], Scored]) -> Scored:
        if isinstance(reply, ErrorReply):
            return Scored(None, dict.fromkeys(items, UserError.of(reply.error)))
        assert not isinstance(reply, LoadedReply)  # none to run()
        if self._contract.groups and not isinstance(reply, ItemsReply):
            scored = Scored(returned_rows(reply))
        else:
            scored = read(reply)
        if scored.table is None or not self._contract.azure_layout:
            return scored
        if isinstance(reply, ItemsReply):
            texts = [as_text(table, None) for _, table in scored.by_file()] or [as_text(scored.table, None)]
            return replace(scored, table=pa.concat_tables(texts))
        return replace(scored, table=as_text(scored.table, reply.text))

    def _try(self, items: Sequence[str], run: Callable[[HostProcess], Scored]) -> Scored:
        try:
            host = self._ready_host()
            self._output.begin_try()
            self._log.begins(items)
            return run(host)
        except HostLost as error:
            self._host = None
            if isinstance(error, HostKilled):  # Ray ends what a worker has started a moment before it ends the worker
                self._pause(OWN_END_SECONDS)
            if self._stopped.is_set():
                raise WorkerStopped from None
            of_node = isinstance(error, MemoryShort)
            return Scored(None, dict.fromkeys(items, UserError("", error.what, of_node=of_node)))
        except InitFailed as error:
            if not self._has_worked:
                raise
            # the code can be loaded: a host that replaces another one has failed, perhaps for want of memory
            return Scored(None, dict.fromkeys(items, UserError("", error.what, stack=error.mend)))
        except RunFailed as error:
            why = UserError("", f"{error.what}. {error.mend}", may_pass=False)  # it would return the same again
            return Scored(None, dict.fromkeys(items, why))

    def _ready_host(self) -> HostProcess:
        if self._host is not None:
            return self._host
        for attempt in count(1):
            host = self._start_host()
            try:
                self._init(host)
                break
            except HostKilled as killed:  # says nothing of the code
                self._host = None
                short = isinstance(killed, MemoryShort)
                if short and self._has_worked:
                    raise  # no try of the mini-batch, which waits for it
                if attempt == (MOST_MEMORY_KILLS if short else INIT_TRIES):
                    raise self._not_loaded(killed) from None
                self._pause((memory_pause_seconds if short else pause_seconds)(attempt, random.random()))
            except BaseException:
                self._host = None
                host.close()
                raise
        self._has_worked = True
        self._output.init_done()
        return host

    def _start_host(self) -> HostProcess:
        contract = self._contract
        with self._starting:  # a stop comes before, and none is started, or behind, and ends it
            if self._stopped.is_set():
                raise WorkerStopped
            self._output.empty()  # an init() that makes a folder there shall find it as the first one did
            self._log.loads(contract.script if contract.code else "the model")
            try:
                self._host = HostProcess(
                    contract.interpreter,
                    self._environment(),
                    self._code,
                    contract.log,
                    contract.memory_share,
                    contract.read_only,
                )
            except HostLost as lost:
                raise InitFailed(lost.what, mend=lost.mend) from None
            return self._host

    def _init(self, host: HostProcess) -> None:
        script = self._code / self._contract.script if self._contract.code else MLFLOW_DRIVER
        request = {
            "op": "init",
            "script": str(script),
            "code": str(self._code),
            "log_level": self._contract.logging_level,
            "format": self._contract.mini_batch_format,
            "default_format": self._contract.default_format,
            "arguments": list(self._contract.arguments),
            "azure_layout": self._contract.azure_layout,
        }
        try:
            reply = host.call(request, INIT_SECONDS)
        except HostLost as lost:
            if self._stopped.is_set():
                raise WorkerStopped from None
            raise lost if isinstance(lost, HostKilled) else self._not_loaded(lost) from None
        if isinstance(reply, ErrorReply):
            error = UserError.of(reply.error)
            self._log.not_loaded(f"the scoring script could not be loaded: {error.headline}", error.stack)
            raise InitFailed(error.headline, mend=error.stack)
        assert isinstance(reply, LoadedReply)  # the only other one to init()
        self._format = reply.format

    def _environment(self) -> dict[str, str]:
        contract = self._contract
        return {
            **inherited_variables(contract.interpreter, contract.secret_variables),
            "HOME": str(self._home),
            "TMPDIR": str(contract.scratch),
            "PYTHONDONTWRITEBYTECODE": "1",
            **contract.environment_variables,
            **({"AZUREML_MODEL_DIR": str(contract.model_folder)} if contract.model_folder else {}),
            "AZUREML_BI_OUTPUT_PATH": str(contract.output_folder / contract.rows_output),
        }

    def _pause(self, seconds: float) -> None:
        self._wait(self._stopped, seconds)

    def _empty_output(self) -> None:
        """Forget what a failed try has written; what init() made stays as long as its host."""
        if self._host:
            self._output.undo_try()
        else:
            self._output.empty()

    def _not_loaded(self, lost: HostLost) -> InitFailed:
        what = f"the scoring script could not be loaded: {lost.what}"
        self._log.not_loaded(what, "")
        return InitFailed(what, mend=lost.mend)
