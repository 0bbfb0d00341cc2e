"""The outputs of a job: where they are, their files, and their rows as a table."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from batch_endpoints.client.connection import Connection, at
from batch_endpoints.client.transfer import download, download_all
from batch_endpoints.errors import NotFound

if TYPE_CHECKING:
    import pandas
    import pyarrow

TABLES = (".csv", ".jsonl", ".parquet", ".arrow")
PARTIAL_TIMEOUT = (5.0, 3600.0)  # seconds to connect, and for the server to put together what is committed


@dataclass(frozen=True)
class OutputFile:
    """One file of an output."""

    path: str
    size: int


class Output:
    """One named output of a job; with ``partial``, as much of it as is committed when its files are asked for."""

    def __init__(self, connection: Connection, job: str, name: str, uri: str, *, partial: bool = False) -> None:
        self._connection, self._job, self.name, self.uri, self._partial = connection, job, name, uri, partial

    def __repr__(self) -> str:
        return f"<Output {self.name} at {self.uri}>"

    def files(self) -> list[OutputFile]:
        """Its files, by path relative to the output.

        Raises:
            Conflict: the job has not completed, so they are not there yet; of a partial output, it has, or nothing
                is committed.
        """
        return self._listed()[0]

    def download(self, folder: str | Path) -> list[Path]:
        """Fetch all files into a folder; returns where they are."""
        return download_all(self._connection, self._root, [file.path for file in self.files()], Path(folder))

    def to_arrow(self, file: str = "") -> pyarrow.Table:
        """The rows of its CSV, JSON Lines, Parquet or Arrow file; several files of one kind are put together.

        Text may be compressed. Azure ML's layout has no names of columns, so it is yours to read.

        Args:
            file: which one, where there are several that do not belong together.

        Raises:
            NotFound: no such file, none that is a table with a header, or several kinds.
        """
        paths = self._tables(file)
        if self._connection.on_the_servers_machine() and (here := self._in_place(paths)):
            return _table(here)
        with tempfile.TemporaryDirectory() as folder:
            targets = [Path(folder, f"{index}-{Path(path).name}") for index, path in enumerate(paths)]
            for path, target in zip(paths, targets, strict=True):
                download(self._connection, self._root + at(*path.split("/")), target)
            return _table(targets)

    def to_pandas(self, file: str = "") -> pandas.DataFrame:
        """The same rows as a pandas data frame; see :meth:`to_arrow`."""
        return self.to_arrow(file).to_pandas()

    @property
    def _root(self) -> str:
        return at("jobs", self._job, "partial-outputs" if self._partial else "outputs", self.name)

    def _listed(self) -> tuple[list[OutputFile], str]:
        """Its files, and the format that was asked for, if any."""
        if self._partial:
            answer = self._connection.json("POST", self._root, repeatable=True, timeout=PARTIAL_TIMEOUT)
        else:
            answer = self._connection.json("GET", self._root)
        self.uri = str(answer.get("uri") or self.uri)
        files = [OutputFile(str(file["path"]), int(file["size"])) for file in answer["value"]]
        return files, str(answer.get("format") or "")

    def _tables(self, file: str) -> list[str]:
        files, format = self._listed()
        paths = [found.path for found in files]
        if format == "azureml":
            raise NotFound(
                f"output '{self.name}' of job '{self._job}' is in Azure ML's layout, whose columns have no names",
                mend="Download it, and read it as you did there: pandas.read_csv(…, sep=' ', header=None).",
            )
        if file and file in paths:
            return [file]
        tables = [path for path in paths if _kind(path) in TABLES]
        if file or len({_kind(path) for path in tables}) != 1:
            wanted = f"no file '{file}'" if file else "several kinds of tables" if tables else "no file with a table"
            raise NotFound(
                f"output '{self.name}' of job '{self._job}' has {wanted}",
                mend=f"It has: {', '.join(paths[:20]) or 'no files'}.",
            )
        return tables

    def _in_place(self, paths: list[str]) -> list[Path]:
        """The files on this machine's disk; none where they are somewhere else."""
        where = urlsplit(self.uri)
        if where.scheme != "file":
            return []
        root = Path(unquote(where.path))
        here = [root if root.is_file() else root / path for path in paths]
        return here if all(file.is_file() for file in here) else []


class Outputs(dict[str, Output]):
    """Outputs by name; asking for one that is not there names those that are."""

    def __init__(self, job: str, outputs: dict[str, Output]) -> None:
        super().__init__(outputs)
        self._job = job

    def __missing__(self, name: str) -> Any:
        raise NotFound(
            f"job '{self._job}' has no output '{name}'",
            mend=f"It has: {', '.join(self)}." if self else "It has none so far.",
        )


def _kind(path: str) -> str:
    """The ending that says what is in a file, whether it is compressed or not."""
    # here: a command line that shows a job needs no pydantic
    from batch_endpoints.specs.rows_file import uncompressed

    return Path(uncompressed(path)[0]).suffix.lower()


def _table(files: list[Path]) -> pyarrow.Table:
    """One table of files of one kind."""
    import pyarrow

    tables = [_read(file) for file in files if file.stat().st_size]
    return pyarrow.concat_tables(tables, promote_options="permissive") if tables else pyarrow.table({})


def _read(file: Path) -> pyarrow.Table:
    match _kind(file.name):
        case ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(file)
        case ".jsonl":
            import pyarrow.json

            return pyarrow.json.read_json(file)
        case ".arrow":
            import pyarrow.ipc

            with pyarrow.memory_map(str(file)) as source:
                return pyarrow.ipc.open_file(source).read_all()
        case _:
            import pyarrow.csv

            quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
            return pyarrow.csv.read_csv(file, parse_options=quoted)
