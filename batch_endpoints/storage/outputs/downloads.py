"""Downloads: the files of a job's output, wherever it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from batch_endpoints.errors import InputError, NotFound
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import plain
from batch_endpoints.storage.files.atomic_files import ASIDE
from batch_endpoints.storage.files.place import open_place


class StoredFile(NamedTuple):
    """One file of an output."""

    path: str  # relative to the output; of an output that is one file, its name
    size: int  # bytes


def output_files(uri: str, access: Access = AMBIENT) -> list[StoredFile]:
    """What an output has, by path; nothing where there is nothing.

    Raises:
        InputError: it cannot be read.
    """
    try:
        found = open_place(uri, _within(uri, access)).walk().found
        return sorted(
            StoredFile(file.path, file.size)
            for file in found
            if isinstance(file, InputFile) and not file.path.rpartition("/")[2].startswith(ASIDE)
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(uri, error) from None


def open_output_file(uri: str, path: str, access: Access = AMBIENT) -> Path | BinaryIO:
    """One file of an output.

    Args:
        uri: the output.
        path: as ``output_files`` gives it.
        access: credentials for what is remote.

    Returns: its place on this machine, or a stream of its bytes.

    Raises:
        NotFound: it is not there, or not inside the output.
    """
    place = open_place(uri, _within(uri, access))
    for below in (path, "") if path == place.name else (path,):
        try:
            if not place.disk:
                return place.open_input(below)
            if (file := place.fetch(below, place.disk)).is_file():
                return file
        except (FileNotFoundError, InputError, ValueError):  # the last one is a NUL in its name
            continue
        except OSError as error:
            raise _unreadable(uri, error) from None
    raise NotFound(f"the output '{shown(uri)}' has no file '{path}'")


def _within(uri: str, access: Access) -> Access:
    """On a disk neither ``..`` nor a link leads out of the output."""
    return replace(access, folders=(plain(uri),))


def _unreadable(uri: str, error: OSError) -> InputError:
    return InputError(f"the output '{shown(uri)}' cannot be read: {error.strerror or shown_text(error)}")
