"""Jobs that stand for themselves: the file of a pipeline or a command, its local paths as the server reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batch_endpoints.client.connection import Connection
from batch_endpoints.client.pipeline_files import check_job_file
from batch_endpoints.client.transfer import upload
from batch_endpoints.client.wire import Place, is_local, with_uploads
from batch_endpoints.specs import Origins, read_yaml_with_origins, set_value


def job_document(
    connection: Connection,
    source: str | Path | Mapping[str, Any],
    changes: Mapping[str, Any],
    flags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What is sent: the file's content, changed, with code uploaded and data where the server can read it.

    Raises:
        SpecError: the file is no YAML, or no job that can run: every problem with its file and line.
        InputError: a local file that it names is not there.
    """
    if isinstance(source, str | Path):
        file = Path(source)
        document, origins = read_yaml_with_origins(file)
        base = file.absolute().parent
    else:
        document, origins, base = dict(source), Origins(), Path.cwd()
    for key, value in changes.items():
        set_value(document, key, value)
    place = Place(base, origins.changed(flags if flags is not None else dict.fromkeys(changes, "changes")))
    check_job_file(document, place)
    for key in ("inputs", "outputs"):
        if isinstance(named := document.get(key), dict):
            document[key] = {
                name: _reachable(connection, place.below(key, name), given, send=key == "inputs")
                for name, given in named.items()
            }
    return with_uploads(document, place, lambda path, skip: upload(connection, path, skip=skip))


def _reachable(connection: Connection, place: Place, given: Any, *, send: bool) -> Any:
    """An input or output whose local path has become what the server can reach."""
    if not (isinstance(given, dict) and isinstance(path := given.get("path"), str) and is_local(path)):
        return given
    if send:
        found = place.below("path").path(path)
        here = connection.on_the_servers_machine()
        return {**given, "path": found.absolute().as_uri() if here else upload(connection, found)}
    return {**given, "path": (place.base / Path(path).expanduser()).absolute().as_uri()}
