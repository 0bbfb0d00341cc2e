"""A job's named output: where it goes, whether something is there already, and writing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

from batch_endpoints.errors import Conflict, InputError
from batch_endpoints.interfaces import Filesystem
from batch_endpoints.specs import JobOutput, JobSpec, OutputFormat, RowsFile, rows_file
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.access import Access
from batch_endpoints.storage.filesystem import local_path, output_filesystem
from batch_endpoints.storage.output_folder import folder_files, write_folder
from batch_endpoints.storage.outputs import write_files, write_rows
from batch_endpoints.storage.rounds import Rounds, in_order

DEFAULT_NAME = "score"  # Azure ML's name of a model deployment's only output


@dataclass(frozen=True)
class NamedOutput:
    """Where one output goes.

    Args:
        name: as in the job.
        folder: URI of the folder that gets its files.
        rows: the file with the rows; None where the deployment keeps none (``summary_only``).
        access: credentials for what is remote.
    """

    name: str
    folder: str
    rows: RowsFile | None
    access: Access = field(default_factory=dict, repr=False)

    @property
    def file_name(self) -> str:
        """The name of the file with the rows, of the folder with a slash behind it, or ""."""
        return self.rows.name if self.rows else ""

    def taken(self) -> bool:
        """Is there a file already where the rows would go?"""
        if self.rows is None:
            return False
        try:
            target = output_filesystem(self.folder, self.access)
            if self.rows.is_folder:
                return bool(target.names(self.file_name.rstrip("/")))
            return target.exists(self.file_name)
        except OSError as error:
            raise InputError(f"nothing can be written to '{shown(self.folder)}': {shown_text(error)}") from None

    def check_free(self) -> None:
        """Raises Conflict where an existing output would be replaced."""
        if self.taken():
            raise Conflict(
                f"the output '{shown(f'{self.folder}/{self.file_name}')}' exists already",
                mend="Name another path, or ask for overwrite.",
            )

    def write(self, files: Filesystem, rounds: Rounds, note: Callable[[str], None]) -> JobOutput:
        """Make the output of what is committed.

        Args:
            files: the job folder.
            rounds: all that is committed.
            note: is told what a user should know.

        Returns: the output with its URI.
        """
        target = output_filesystem(self.folder, self.access)
        place = local_path(self.folder)
        if place:
            place.mkdir(parents=True, exist_ok=True)  # also where no file comes: it is what the job names
        # round by round: a file keeps the name that it had before failed items were tried again
        folder = self.rows if self.rows and self.rows.is_folder else None
        names = folder_files(rounds, folder) if folder else [self.file_name]
        for renamed in write_files(files, chain.from_iterable(rounds), target, names):
            note(renamed)
        if folder:
            write_folder(files, rounds, target, folder)
        elif self.rows:
            write_rows(files, in_order(rounds), target, self.rows)
        return JobOutput(type="uri_folder", path=place.as_uri() if place else self.folder)

    @property
    def parts_format(self) -> OutputFormat:
        """What workers write: a folder takes their files as they are, a file is made of Arrow's."""
        return self.rows.format if self.rows and self.rows.is_folder else "arrow"


def named_output(job: JobSpec, job_folder_uri: str) -> NamedOutput:
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
    path = output.path.rstrip("/")
    if output.type == "uri_folder" or not rows:
        return NamedOutput(name, path, rows, job.credentials)
    folder, slash, file = path.rpartition("/")
    try:
        return NamedOutput(name, folder or slash or ".", rows_file(file, settings.output_format), job.credentials)
    except ValueError as error:
        raise InputError(f"the output '{shown(output.path)}' cannot be written: {shown_text(error)}") from None
