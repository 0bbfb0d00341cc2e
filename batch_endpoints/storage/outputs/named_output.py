"""A job's named outputs: where each goes, whether something is there already, and writing it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from batch_endpoints.errors import Conflict, InputError
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs import (
    JobOutput,
    OutputFormat,
    ParallelStep,
    RenamedFile,
    RowsFile,
    ScoringJob,
    rows_file,
)
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.claim_files import claims_folder, is_claim
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.rounds import Rounds, in_order
from batch_endpoints.storage.outputs.output_folder import described_folder, folder_files, write_folder
from batch_endpoints.storage.outputs.rows import write_rows
from batch_endpoints.storage.outputs.script_files import files_below, names_of_others, write_files

DEFAULT_NAME = "score"  # Azure ML's name of a model deployment's only output


class Written(NamedTuple):
    """An output that is there: its place, and files that scripts wrote and that have other names in it.

    Args:
        columns: of its rows; see ``JobState.columns``.
        notes: what the format of the rows cannot tell apart.
    """

    output: JobOutput
    renamed: list[RenamedFile]
    columns: dict[str, str] | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class NamedOutput:
    """Where one output goes.

    Args:
        name: as in the job.
        folder: URI of the folder that gets its files.
        rows: the file with the rows; None where the deployment keeps none (``summary_only``).
        access: credentials for what is remote.
        shared: others may write there too, and nothing of theirs is to be replaced.
        of_step: it is one of several, of a parallel step: it gets the files that scripts wrote below a folder of its
            name.
        is_file: it is reported as the file with the rows, and not as their folder.
    """

    name: str
    folder: str
    rows: RowsFile | None
    access: Access = field(default=AMBIENT, repr=False)
    shared: bool = False
    of_step: bool = False
    is_file: bool = False

    @property
    def file_name(self) -> str:
        """The name of the file with the rows, of the folder with a slash behind it, or ""."""
        return self.rows.name if self.rows else ""

    def taken(self) -> bool:
        """Is there a file already where the rows would go, or any where only the scripts' files go?"""
        try:
            target = self.place()
            if self.rows is None:
                return self.shared and not all(is_claim(name) for name in target.names(""))
            if self.rows.is_folder:
                return bool(target.names(self.file_name.rstrip("/")))
            return target.exists(self.file_name)
        except OSError as error:
            raise InputError(f"nothing can be written to '{shown(self.folder)}': {shown_text(error)}") from None

    def check_free(self, since: str = "") -> None:
        """Raises Conflict where an existing output would be replaced.

        Args:
            since: URI of the folder of a job that is known to have begun to write there; "" for none.
        """
        if self.taken():
            place = shown(f"{self.folder}/{self.file_name}")
            if since:
                raise Conflict(
                    f"the job in '{shown(since)}' has written to the output '{place}' since this one has",
                    mend="Move that one's elsewhere, and `batch-endpoints job resume` goes on; or begin another job.",
                )
            what = "exists already" if self.rows else "is a folder with files in it"
            raise Conflict(f"the output '{place}' {what}", mend="Name another path, or ask for overwrite.")

    def place(self) -> WritablePlace:
        """Where its files go."""
        return writable_place(self.folder, self.access)

    @property
    def claims(self) -> str:
        """The hidden folder that says whose output this will be; see ``claims``."""
        return claims_folder(self.file_name)

    def write(self, files: WritablePlace, rounds: Rounds) -> Written:
        """Make the output of what is committed.

        Args:
            files: the job folder.
            rounds: all that is committed.

        Returns: the output with its URI.
        """
        target = self.place()
        if target.disk:
            target.disk.mkdir(parents=True, exist_ok=True)  # also where no file comes: it is what the job names
        if self.of_step:
            rounds = [[files_below(commit, self.name) for commit in commits] for commits in rounds]
        # round by round: a file keeps the name that it had before failed items were tried again
        commits = list(chain.from_iterable(rounds))
        others = frozenset[str]()
        if self.shared and any(commit.files for commit in commits):
            others = names_of_others(files, target, rounds, self._rows_names, self.name if self.of_step else "")
        renamed = write_files(files, commits, target, self._rows_names(rounds), others)
        written = None
        if self.rows and self.rows.is_folder:
            write_folder(files, rounds, target, self.rows)
            written = described_folder(in_order(rounds), self.rows)
        elif self.rows:
            written = write_rows(files, in_order(rounds), target, self.rows)
        uri = target.disk.as_uri() if target.disk else self.folder
        output = JobOutput(type="uri_folder", path=uri)
        if self.is_file:
            file = (target.disk / self.file_name).as_uri() if target.disk else f"{uri}/{self.file_name}"
            output = JobOutput(type="uri_file", path=file)
        return Written(output, renamed, *(written or ()))

    def _rows_names(self, rounds: Rounds) -> Collection[str]:
        """The files that the rows go to."""
        return folder_files(rounds, self.rows) if self.rows and self.rows.is_folder else [self.file_name]

    @property
    def parts_format(self) -> OutputFormat | None:
        """What workers write where a folder takes their files as they are; None where a file is made of them."""
        return self.rows.format if self.rows and self.rows.is_folder else None


def named_outputs(job: ScoringJob, job_folder_uri: str) -> list[NamedOutput]:
    """Where a job writes: a model deployment's has one output, a parallel step any number, one of them with rows.

    Raises:
        InputError: the job wants a file whose name does not go with its format.
    """
    if not isinstance(job.deployment, ParallelStep):
        return [named_output(job, job_folder_uri)]
    return [_of_step(job, job.deployment, name, job_folder_uri) for name in job.outputs]


def parts_format(job: ScoringJob, job_folder_uri: str) -> OutputFormat | None:
    """As of the output that has the rows; None too where there is none."""
    return next((one.parts_format for one in named_outputs(job, job_folder_uri) if one.rows), None)


def _of_step(job: ScoringJob, step: ParallelStep, name: str, job_folder_uri: str) -> NamedOutput:
    output, keeps_rows = job.outputs[name], name == step.append_row_to
    is_file = keeps_rows and output.type == "uri_file"
    rows = rows_file(step.settings.output_file_name, step.settings.output_format) if keeps_rows else None
    folder, shared = output.path.rstrip("/"), bool(output.path) and not job.overwrite
    if not folder:
        folder = f"{job_folder_uri}/named-outputs/{name}"
    elif is_file:
        folder, slash, file = folder.rpartition("/")
        folder, rows = folder or slash or ".", _rows_file(file, step.settings.output_format, output.path)
    return NamedOutput(name, folder, rows, Access.of(job) if output.path else AMBIENT, shared, True, is_file)


def named_output(job: ScoringJob, job_folder_uri: str) -> NamedOutput:
    """Where a model deployment's job writes: where it was asked to, otherwise into its own folder.

    Raises:
        InputError: the job wants a file whose name does not go with its format.
    """
    settings = job.deployment.settings
    keeps_rows = settings.output_action == "append_row"
    rows = rows_file(settings.output_file_name, settings.output_format) if keeps_rows else None
    name, output = next(iter(job.outputs.items()), (DEFAULT_NAME, JobOutput()))
    if not output.path:
        return NamedOutput(name, f"{job_folder_uri}/named-outputs/{name}", rows)
    path, shared, access = output.path.rstrip("/"), not job.overwrite, Access.of(job)
    if output.type == "uri_folder" or not rows:
        return NamedOutput(name, path, rows, access, shared)
    folder, slash, file = path.rpartition("/")
    return NamedOutput(name, folder or slash or ".", _rows_file(file, settings.output_format, path), access, shared)


def _rows_file(file: str, format: OutputFormat | None, path: str) -> RowsFile:
    try:
        return rows_file(file, format)
    except ValueError as error:
        raise InputError(f"the output '{shown(path)}' cannot be written: {shown_text(error)}") from None
