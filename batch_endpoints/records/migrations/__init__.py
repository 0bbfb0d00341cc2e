"""Brings a database to the tables of this version, step by step, with Alembic."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config

from batch_endpoints.errors import ServerError
from batch_endpoints.records.database import Database
from batch_endpoints.records.tables import REVISION

_one_at_a_time = threading.Lock()  # Alembic keeps what it runs in a module


def migrate(url: str) -> None:
    """Make or change the tables until they are the ones of this version; all of it or nothing.

    Several processes may call it at the same time: one does the work, the others find it done.

    Raises:
        Refused: it is no URL of a database, or a newer version of the program has made this one.
        ServerError: the database cannot be used.
    """
    database = Database(url)
    try:
        with _one_at_a_time, _alone(database), database.writing() as connection:
            database.lock(connection, "migrations")
            if (found := database.revision(connection)) > REVISION:
                raise database.from_the_future()
            if found < REVISION:
                config = Config()
                # the file of settings that this stands for would expand a percent sign
                config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
                config.attributes["connection"] = connection
                command.upgrade(config, REVISION)
    finally:
        database.close()


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Make the file of a SQLite database and its folder, with nobody else in there.

    A write-ahead log lets everybody read while one writes. Switching it on is the one thing that SQLite does not
    wait for: of two processes that try, one fails with "database is locked".
    """
    if not database.is_sqlite:
        yield
        return
    folder = Path(database.url.database or "").absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ServerError(f"the database's folder cannot be used: {error.strerror}", where=str(folder)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        database.use_write_ahead_log()
        yield
    finally:
        os.close(descriptor)
