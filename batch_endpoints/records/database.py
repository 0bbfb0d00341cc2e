"""One database by its URL: transactions that hold across processes, and errors that say what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, insert, inspect, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, IntegrityError, InterfaceError, TimeoutError

from batch_endpoints.errors import Refused, ServerError, SpecError
from batch_endpoints.records.tables import ALEMBIC_VERSION, REVISION

BUSY_SECONDS = 30  # how long a write waits for the writers before it
CONNECT_SECONDS = 10
SECRET_KEYS = ("password", "passfile", "sslpassword")


class Database:
    """An engine for SQLite or PostgreSQL; threads share it, processes open their own."""

    def __init__(self, url: str) -> None:
        self.url = read_url(url)
        self.shown = _without_secrets(self.url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _engine(self.url)

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that writes nothing."""
        return self._transaction(self._engine)

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that commits at its end; in SQLite no other process writes while it is open."""
        # one that reads first and writes then would fail at once, without waiting, where another has written since
        return self._transaction(self._engine.execution_options(begin="BEGIN IMMEDIATE"))

    def use_write_ahead_log(self) -> None:
        """Let everybody read a SQLite file while one writes; the file remembers it."""
        with self._transaction(self._engine.execution_options(begin="")) as connection:  # not allowed inside of one
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")

    def put(self, connection: Connection, table: Table, key: tuple[str, ...], **values: str) -> None:
        """Store a row; where one has this key already, only its document is replaced."""
        # both databases have ON CONFLICT, each in a class of its own
        row = (sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)).values(**values)
        document = {"document": row.excluded.document}
        connection.execute(row.on_conflict_do_update(index_elements=key, set_=document))

    def add(self, connection: Connection, table: Table, **values: str | None) -> bool:
        """Store a row, unless a unique column of it is taken; waits for a writer who may be about to take it."""
        try:
            with connection.begin_nested():  # only this fails, and not what the transaction does besides
                connection.execute(insert(table).values(**values))
        except IntegrityError:
            return False
        return True

    def lock(self, connection: Connection, name: str) -> None:
        """One at a time holds this name, until its transaction ends; a write in SQLite is alone anyway."""
        if not self.is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def revision(self, connection: Connection) -> str:
        """Which migration the database has; "" where it has none."""
        if not inspect(connection).has_table(ALEMBIC_VERSION.name):
            return ""
        return connection.scalar(select(ALEMBIC_VERSION.c.version_num)) or ""

    def check_revision(self) -> None:
        """Raises Refused where its tables are not the ones that this version of the program knows."""
        with self.reading() as connection:
            found = self.revision(connection)
        if found > REVISION:
            raise self.from_the_future()
        if found < REVISION:
            raise Refused(
                f"the database is at revision {found}, and this version of batch-endpoints needs {REVISION}"
                if found
                else "the database holds no records yet: its tables are missing",
                where=self.shown,
                mend="Bring it up to date: batch_endpoints.records.migrate(url), which a server calls as it starts.",
            )

    def from_the_future(self) -> Refused:
        return Refused(
            f"the database was made by a newer version of batch-endpoints, which knows more than revision {REVISION}",
            where=self.shown,
            mend="Install that version here too, or name another database.",
        )

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except (DataError, UnicodeEncodeError) as error:  # a zero byte, half a surrogate pair
            raise SpecError(f"the records cannot hold such text: {_reason(error)}") from error
        except (DatabaseError, InterfaceError, TimeoutError) as error:
            raise ServerError(
                f"the database cannot be used: {_reason(error)}",
                where=self.shown,
                mend="Check BATCH_ENDPOINTS_DATABASE, and that the database is up and lets this machine in.",
            ) from error


def read_url(text: str) -> URL:
    """The URL with the driver that we use for its database.

    Raises:
        Refused: it is no URL of a database that can hold the records.
    """
    forms = "Write sqlite:////folder/records.db or postgresql://user:password@host/database."
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # without the cause: it quotes a part of the text, which can be a part of the password
        raise Refused("BATCH_ENDPOINTS_DATABASE is not the URL of a database", mend=forms) from None
    drivers = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    if (backend := url.get_backend_name()) not in drivers:
        raise Refused(f"records are kept in SQLite or PostgreSQL, not in '{backend}'", mend=forms)
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise Refused(
            "a SQLite database without a file would be another one in each thread",
            mend=f"{forms} Records that may end with the process are kept in memory://.",
        )
    return url.set(drivername=drivers[backend])


def _without_secrets(url: URL) -> str:
    return url.difference_update_query(SECRET_KEYS).render_as_string(hide_password=True)


def _engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            # isolation_level None: the driver begins nothing by itself, `_begin` does
            waits: dict[str, Any] = {"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}
            engine = create_engine(url, connect_args=waits, max_overflow=-1)
            event.listen(engine, "connect", _connected)
            event.listen(engine, "begin", _begin)
            return engine
        waits = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
        # asks each connection whether it still lives: PostgreSQL may have been restarted
        return create_engine(url, connect_args=waits, pool_pre_ping=True)
    except ImportError as error:
        raise Refused(
            f"PostgreSQL needs a driver that is not installed here: {error}",
            mend="Install it with: pip install 'batch-endpoints[postgresql]'",
        ) from error


def _connected(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    if begin := connection.get_execution_options().get("begin", "BEGIN"):
        connection.exec_driver_sql(begin)


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
