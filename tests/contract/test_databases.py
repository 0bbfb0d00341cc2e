"""Databases: how they get their tables, and what one reads when they cannot be used."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from batch_endpoints.errors import Refused, ServerError
from batch_endpoints.records import migrate, migrations, open_store
from batch_endpoints.records.database import Database
from batch_endpoints.records.tables import METADATA, REVISION
from batch_endpoints.specs import BatchEndpoint, BatchJob, Model, ModelDeployment, ScoringJob


@pytest.fixture
def bare_database(bare_url):
    if bare_url.startswith("sqlite"):
        Path(bare_url.removeprefix("sqlite:///")).parent.mkdir()
    database = Database(bare_url)
    yield database
    database.close()


def test_migrations_make_the_tables_that_the_store_uses(bare_url, bare_database):
    migrate(bare_url)
    with bare_database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_the_last_migration_is_the_revision_that_the_store_asks_for():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_migrating_makes_the_folder_and_again_changes_nothing(bare_url):
    migrate(bare_url)
    store = open_store(bare_url)
    store.save_endpoint(BatchEndpoint(name="heart"))
    migrate(bare_url)
    assert [each.name for each in store.endpoints().items] == ["heart"]
    store.close()


def test_there_is_nothing_to_migrate_in_memory():
    migrate("memory://")
    assert open_store("memory://").endpoints().items == []


def migrate_together(urls, start):
    for url in urls:
        start.wait()
        migrate(url)


def test_processes_and_threads_may_migrate_at_the_same_time(new_url):
    urls = [new_url() for _ in range(3)]  # at the first one they still import this and that, each for a while
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4, timeout=120)
    processes = [context.Process(target=migrate_together, args=(urls, start)) for _ in range(2)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(migrate_together, urls, start) for _ in range(2)]:
            done.result()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    for url in urls:
        open_store(url).close()


def test_a_migration_that_fails_leaves_nothing_behind(bare_url, bare_database):
    with bare_database.writing() as connection:
        connection.execute(text("CREATE TABLE jobs (other INTEGER)"))  # the last table of the first migration
    with pytest.raises(ServerError, match="already exists"):
        migrate(bare_url)
    with bare_database.reading() as connection:
        assert inspect(connection).get_table_names() == ["jobs"]


def of_revision(revision, url, database, monkeypatch, rows):
    """A database as an earlier version of the program has left it; rows are documents and columns by table."""
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "REVISION", revision)
        migrate(url)
    with database.writing() as connection:
        for table, values in rows:
            names = ", ".join(f'"{name}"' for name in values)
            places = ", ".join(f":{name}" for name in values)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


def test_a_deployment_of_before_keeps_the_default_name_with_the_ending_of_its_format(
    bare_url, bare_database, monkeypatch
):
    given = ModelDeployment(name="xgb", endpoint_name="heart", model="m", settings={"output_format": "parquet"})
    document = given.model_dump_json().replace('"output_file_name":null', '"output_file_name":"predictions.csv"')
    with pytest.raises(ValueError, match=r"the name 'predictions\.csv' says csv"):
        ModelDeployment.model_validate_json(document)
    rows = [
        ("endpoints", {"name": "heart", "document": BatchEndpoint(name="heart").model_dump_json()}),
        ("deployments", {"endpoint": "heart", "name": "xgb", "document": document}),
    ]
    of_revision("0001", bare_url, bare_database, monkeypatch, rows)
    migrate(bare_url)
    store = open_store(bare_url)
    assert store.deployment("heart", "xgb") == given
    store.close()


def test_jobs_of_before_keep_their_folders_and_an_open_one_its_launches(bare_url, bare_database, monkeypatch):
    now = datetime(2026, 5, 4, tzinfo=timezone.utc)
    jobs = {
        name: BatchJob(
            name=name,
            endpoint_name="heart",
            deployment_name="xgb",
            spec=ScoringJob(name=name, deployment=ModelDeployment(name="xgb", model=Model(path="/m")), inputs={}),
            folder=f"file:///jobs/{name}",
            status=status,
            launches=launches,
            created_at=now,
            modified_at=now,
        )
        for name, status, launches in (("v2", "Failed", 1), ("v2-launch-2", "Failed", 1), ("going", "Running", 2))
    }
    rows = [
        (
            "jobs",
            {
                "number": number,
                "name": job.name,
                "request_id": f"request-{job.name}",
                "endpoint": "heart",
                "deployment": "xgb",
                "status": job.status,
                "document": job.model_dump_json(exclude={"uid"}),
            },
        )
        for number, job in enumerate(jobs.values(), start=1)
    ]
    of_revision("0002", bare_url, bare_database, monkeypatch, rows)
    migrate(bare_url)
    store = open_store(bare_url)
    after = {name: store.job(name) for name in jobs}
    assert {name: job.replaced(uid="") for name, job in after.items()} == jobs
    assert after["going"].launch_id == "going-launch-2"
    again = {store.update_job(name, lambda job: job.replaced(launches=2)).launch_id for name in jobs}
    assert len(again) == 3
    assert not again & {"v2-launch-2", "v2"}
    assert store.job_of_request("heart", "request-v2", "the hash of a body").name == "v2"
    assert store.job_of_request("iris", "request-v2") is None
    store.close()


def test_a_sqlite_file_is_read_while_it_is_written(tmp_path):
    url = f"sqlite:///{tmp_path}/records.db"
    migrate(url)
    store, database = open_store(url), Database(url)
    store.save_endpoint(BatchEndpoint(name="heart"))
    with database.writing() as connection:
        connection.execute(text("DELETE FROM endpoints"))
        assert [each.name for each in store.endpoints().items] == ["heart"]
    assert store.endpoints().items == []
    store.close()
    database.close()


def test_a_database_without_tables_is_named_with_what_to_do(bare_url, bare_database):
    with pytest.raises(Refused, match="its tables are missing") as caught:
        open_store(bare_url)
    assert "batch_endpoints.records.migrate" in caught.value.mend
    assert "records" in caught.value.where


def test_a_database_of_a_newer_version_is_left_alone(bare_url, bare_database):
    migrate(bare_url)
    with bare_database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (open_store, migrate):
        with pytest.raises(Refused, match="made by a newer version"):
            use(bare_url)


def test_a_database_that_is_not_there_is_named_without_the_password(tmp_path):
    url = f"postgresql://anna:sesame@/records?host={tmp_path}&password=sesame2"
    for use in (open_store, migrate):
        with pytest.raises(ServerError, match="the database cannot be used") as caught:
            use(url)
        assert f"anna:***@/records?host={tmp_path}" in caught.value.where.replace("%2F", "/")
        assert "sesame" not in "".join(traceback.format_exception(caught.value))


def test_a_sqlite_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match="folder cannot be used"):
        migrate(f"sqlite:///{tmp_path}/file/records.db")


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "records.db").write_text("name,age\n" * 100)
    for use in (open_store, migrate):
        with pytest.raises(ServerError, match="not a database"):
            use(f"sqlite:///{tmp_path}/records.db")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("records.db", "not the URL of a database"),
        ("postgresql://anna:sesame@host:port/records", "not the URL of a database"),
        ("mysql://anna:sesame@host/records", "not in 'mysql'"),
        ("sqlite://", "without a file"),
        ("sqlite:///:memory:", "without a file"),
    ],
)
def test_a_url_that_cannot_hold_records_is_refused(url, what):
    for use in (open_store, migrate):
        with pytest.raises(Refused, match=what) as caught:
            use(url)
        assert "sqlite:////" in caught.value.mend
        assert "same" not in "".join(traceback.format_exception(caught.value)).replace(url, "")


@pytest.mark.parametrize("url", ["postgresql://host/db", "postgres://host/db", "postgresql+psycopg://host/db"])
def test_postgresql_is_spoken_to_through_psycopg(url):
    assert Database(url).url.drivername == "postgresql+psycopg"


def test_importing_the_stores_does_not_import_the_database_libraries():
    program = (
        "import sys; from batch_endpoints.records import open_store, migrate; migrate('memory://'); "
        "open_store('memory://'); sys.exit('sqlalchemy' in sys.modules or 'alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
