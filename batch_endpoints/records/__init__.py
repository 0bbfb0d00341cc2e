"""Where records are kept: in memory, in SQLite or in PostgreSQL."""

from __future__ import annotations

from batch_endpoints.interfaces.records import RecordStore
from batch_endpoints.records.memory import MemoryRecordStore

__all__ = ["MemoryRecordStore", "migrate", "open_store"]

MEMORY = "memory://"


def open_store(url: str) -> RecordStore:
    """The records at a URL: ``sqlite:////folder/records.db``, ``postgresql://…``, or ``memory://`` for new ones.

    Raises:
        Refused: it is no such URL, or the database has to be migrated first.
        ServerError: the database cannot be used.
    """
    if url == MEMORY:
        return MemoryRecordStore()
    from batch_endpoints.records.sql import SqlRecordStore  # SQLAlchemy takes a quarter of a second

    return SqlRecordStore(url)


def migrate(url: str) -> None:
    """Bring the database at a URL to the tables of this version, from nothing if need be.

    It does no harm twice, nor from several processes at the same time. A SQLite file is made, with its folder.

    Raises:
        Refused: it is no such URL, or the database was made by a newer version of the program.
        ServerError: the database cannot be used.
    """
    if url == MEMORY:
        return
    from batch_endpoints.records.migrations import migrate as migrate_database

    migrate_database(url)
