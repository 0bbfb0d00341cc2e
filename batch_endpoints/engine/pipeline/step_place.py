"""What the program of a command step needs on this machine: code, interpreter, inputs, outputs and variables."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from batch_endpoints.environments.interpreters import Interpreter, find_interpreter
from batch_endpoints.errors import EnvironmentFailed
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.planning.steps.command_line import command_line
from batch_endpoints.planning.steps.step_values import literal_texts
from batch_endpoints.processes.family import MARK
from batch_endpoints.processes.program import can_protect
from batch_endpoints.processes.surroundings import FOR_STEPS, copy_code, inherited_variables
from batch_endpoints.settings import Settings
from batch_endpoints.specs import CommandJob, Environment
from batch_endpoints.storage.files.access import Access, secret_variables
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.inputs.fetch import fetch_tree
from batch_endpoints.storage.inputs.local_input import local_input


@dataclass(frozen=True)
class Output:
    """One output of an attempt.

    Args:
        path: where the program writes it: a folder, or a file in one.
        target: folder in the step's folder that it belongs to.
        text: what stands for it in the command.
    """

    name: str
    path: Path
    target: str
    is_file: bool
    text: str


@dataclass(frozen=True)
class StepPlace:
    """All that an attempt's program is started with.

    Args:
        command: program and arguments.
        folder: its working directory, a copy of its code.
        protected: paths below which it must not write.
        writable: paths of its own, which it may write to also where they are below those.
        notes: what a user should know.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    protected: tuple[Path, ...]
    writable: tuple[Path, ...]
    outputs: tuple[Output, ...]
    notes: tuple[str, ...]
    interpreter: Interpreter

    def close(self) -> None:
        """Let go of what it uses of this machine."""
        self.interpreter.close()


def prepare(job: CommandJob, files: WritablePlace, attempt: str, scratch: Path) -> StepPlace:
    """Bring together what an attempt needs.

    Args:
        files: the step's folder.
        attempt: folder of this attempt in there.
        scratch: of this attempt, on this machine's disk.

    Raises:
        SpecError: the command says what cannot be.
        EnvironmentFailed: the interpreter cannot be made here.
        InputError: an input or the code cannot be read.
        StoreUnavailable: it may be read later.
    """
    component = job.component
    outputs = tuple(_output(job, name, files, attempt, scratch) for name in component.outputs)
    texts, protected, notes = _inputs(job, scratch)
    line = command_line(component.command, texts, {output.name: output.text for output in outputs})
    interpreter = _interpreter(job)
    folder = _code(job, scratch)
    for name in ("home", "tmp"):
        (scratch / name).mkdir()
    environment = {
        **inherited_variables(interpreter.path, secret_variables(Access.of(job))),
        "HOME": str(scratch / "home"),
        "TMPDIR": str(scratch / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **interpreter.variables,
        **job.environment_variables,
        **line.variables,
        "AZUREML_RUN_ID": job.name,
        MARK: str(scratch / "tmp"),
    }
    own_modules = environment.get("PYTHONPATH", "")
    environment["PYTHONPATH"] = os.pathsep.join([*([own_modules] if own_modules else []), str(FOR_STEPS)])
    path = job.environment_variables.get("PATH", environment.get("PATH", os.defpath))
    environment["PATH"] = os.pathsep.join([_bin(interpreter.path, scratch), path])
    shell = shutil.which("bash", path=path) or shutil.which("sh", path=path) or "/bin/sh"
    command = (*_launcher(job, interpreter.path), shell, "-c", line.script)
    notes = [*interpreter.notes, *notes]
    own = (scratch, *(output.path.parent if output.is_file else output.path for output in outputs))
    writable = tuple(one for one in own if any(one.is_relative_to(path) for path in protected))
    return StepPlace(command, environment, folder, tuple(protected), writable, outputs, tuple(notes), interpreter)


def _inputs(job: CommandJob, scratch: Path) -> tuple[dict[str, str | None], list[Path], list[str]]:
    """The text of each input, the paths that have to be protected, and notes."""
    texts = literal_texts(job.component, job.inputs)
    protected, notes = list[Path](), list[str]()
    for name, declared in job.component.inputs.items():
        if name in texts:
            continue
        given = job.inputs.get(name)
        uri = given.path if given and given.path else declared.path
        if not uri:
            texts[name] = None
            continue
        if ((given.mode if given else "") or declared.mode) == "direct":
            texts[name] = uri
            continue
        asked = _Asked()
        path, more = local_input(uri, declared.type, scratch / "inputs" / name, asked, Access.of(job))
        texts[name] = str(path)
        notes += more
        if asked.answer:
            protected.append(path)
    return texts, protected, notes


class _Asked:
    """Remembers whether an input is left in place because it can be protected."""

    def __init__(self) -> None:
        self.answer = False

    def __call__(self) -> bool:
        self.answer = can_protect()
        return self.answer


def _output(job: CommandJob, name: str, files: WritablePlace, attempt: str, scratch: Path) -> Output:
    """Makes its folder, or that of its file."""
    declared, given = job.component.outputs[name], job.outputs.get(name)
    target = f"{attempt}/{name}"
    folder = files.disk / target if files.disk else scratch / "outputs" / name
    folder.mkdir(parents=True)
    is_file = declared.type == "uri_file"
    stated = (given.path if given else "") or declared.path
    file = os.path.basename(stated.partition("?")[0].rstrip("/")) if stated and not stated.endswith("/") else ""
    path = folder / (file or name) if is_file else folder
    uri = files.uri_of(f"{target}/{path.name}" if is_file else target)
    direct = ((given.mode if given else "") or declared.mode) == "direct"
    return Output(name, path, target, is_file, uri if direct else str(path))


def _interpreter(job: CommandJob) -> Interpreter:
    stated = job.component.environment
    try:
        return find_interpreter(stated if isinstance(stated, Environment) else None, Settings.read().cache)
    except EnvironmentFailed as error:
        named = f"'{stated.name}'" if isinstance(stated, Environment) and stated.name else "of the component"
        mend = f"{error.mend}\nTo try it without a job: batch-endpoints environment build -f <its file>".strip()
        raise EnvironmentFailed(error.what, where=f"environment {named}", mend=mend) from error


def _code(job: CommandJob, scratch: Path) -> Path:
    """A copy that is the program's own."""
    folder, uri = scratch / "code", job.component.code
    if not uri:
        folder.mkdir()
        return folder
    found = fetch_tree(uri, scratch / "fetched-code", Access.of_deployment(job))
    if local_path(uri) is None and found.is_dir():
        return found
    if found.is_dir():
        copy_code(found, folder)
    else:
        folder.mkdir()
        shutil.copy2(found, folder)
    return folder


def _bin(interpreter: str, scratch: Path) -> str:
    """A folder in which ``python`` is the interpreter: its own, where it has that name there."""
    own = os.path.dirname(interpreter)
    if all(os.path.exists(path := f"{own}/{name}") and os.path.samefile(path, interpreter) for name in _PYTHONS):
        return own
    folder = scratch / "bin"
    folder.mkdir()
    for name in _PYTHONS:
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.quote(interpreter)} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return os.pathsep.join([str(folder), own])


_PYTHONS = ("python", "python3")


def _launcher(job: CommandJob, interpreter: str) -> tuple[str, ...]:
    """What starts several processes of a PyTorch program on this node."""
    distribution = job.component.distribution
    if not distribution or distribution.type != "pytorch":
        return ()
    count = str(distribution.process_count_per_instance or 1)
    return (interpreter, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count, "--no-python")
