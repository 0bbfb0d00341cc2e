"""Databases to hold the stores against: files of SQLite, and a PostgreSQL server of our own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from batch_endpoints.records import migrate
from batch_endpoints.records.database import Database
from batch_endpoints.records.tables import METADATA

_numbers = count(1)


class PostgresServer:
    """A server that listens on a socket in its own folder and writes nothing through to the disk."""

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self.programs, self.folder = programs, folder
        self._as_user: dict[str, Any] = {"user": user, "cwd": folder}

    def start(self) -> None:
        # a shell that waits for the end of its input stops the server, so it goes even where the tests are killed
        pg_ctl = self.programs / "pg_ctl"
        self._ender = subprocess.Popen(
            ["sh", "-c", 'read line; "$0" -D "$1/data" -m immediate stop; rm -r "$1"', pg_ctl, self.folder],
            **self._as_user,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # not reached by Ctrl-C
        )
        data = ["-D", str(self.folder / "data")]
        self._run("initdb", *data, "-U", "postgres", "-A", "trust", "-E", "utf8", "--locale=C", "--no-sync")
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "fsync": "off"}
        options = " ".join(f"-c {key}='{value}'" for key, value in settings.items())
        self._run("pg_ctl", *data, "-l", str(self.folder / "log"), "-o", options, "--wait", "start")

    def stop(self) -> None:
        self._ender.communicate()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, **self._as_user, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, f"{program} failed: {done.stdout}"

    def url(self, database: str) -> str:
        return f"postgresql://postgres:sesame@/{database}?host={self.folder}"

    def empty_database(self) -> str:
        """The URL of a new one."""
        import psycopg

        name = f"records_{next(_numbers)}"
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def _unprivileged_user() -> str | None:
    """Whom PostgreSQL runs as: it refuses root. None is the user who runs the tests."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


def _programs(user: str | None) -> Path | None:
    """Where ``initdb`` and the others are: in the wheel ``pgserver``, or where Debian puts them."""
    wheel = importlib.util.find_spec("pgserver")
    places = [Path(place) / "pginstall/bin" for place in (wheel.submodule_search_locations or [] if wheel else [])]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        try:
            subprocess.run([place / "initdb", "--version"], user=user, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):  # not there, or in a folder that is closed to that user
            continue
        return place
    return None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server; skips where there is none to run, but not in CI, which must have one."""
    without = pytest.fail if os.environ.get("CI") else pytest.skip
    user = _unprivileged_user()
    if user is None and not os.geteuid():
        without("PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody'")
    programs = _programs(user)
    if programs is None:
        without("no PostgreSQL: install the wheel 'pgserver', or Debian's package 'postgresql'")
    pytest.importorskip("psycopg")
    # the path of a socket has about 100 characters: pytest's own folders can be too long
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if user:
        shutil.chown(folder, user)
    server = PostgresServer(programs, folder, user)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/records.db"
    migrate(url)
    with closing(Database(url)) as database:
        yield database


@pytest.fixture(scope="session")
def _postgresql(postgres: PostgresServer) -> Iterator[Database]:
    url = postgres.empty_database()
    migrate(url)
    with closing(Database(url)) as database:
        yield database


def _emptied_url(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "memory":
        return "memory://"
    database: Database = request.getfixturevalue(f"_{kind}")
    with database.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())
    return database.url.render_as_string(hide_password=False)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest) -> str:
    """Where an empty store is, of each kind."""
    return _emptied_url(request.param, request)


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_url(request: pytest.FixtureRequest) -> str:
    """Where an empty store is that several processes can open."""
    return _emptied_url(request.param, request)


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes databases without a table, and says where; of SQLite not even the folder is there."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path}/home-{next(_numbers)}/records.db"
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.empty_database


@pytest.fixture
def bare_url(new_url: Callable[[], str]) -> str:
    """Where a database without a table is."""
    return new_url()
