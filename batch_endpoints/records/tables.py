"""The tables: each record is one JSON document, beside the columns that it is found by.

The documents are text and not the database's own JSON, so that the specs read them as they stand and the order of
their keys (inputs, steps) stays. A change here needs the next file in ``migrations/versions``, and its ``REVISION``.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, UniqueConstraint

REVISION = "0004"
"""The migration that makes these tables; revisions are four digits, so that they compare as text."""

METADATA = MetaData()

# PostgreSQL would order names by the language of the database; SQLite and Python go by code point
NAME = Text().with_variant(Text(collation="C"), "postgresql")

# in the order of creation; SQLite counts up only what it calls INTEGER
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

ENDPOINTS = Table(
    "endpoints",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("document", Text, nullable=False),
)

DEPLOYMENTS = Table(
    "deployments",
    METADATA,
    Column("endpoint", NAME, ForeignKey("endpoints.name", ondelete="CASCADE"), primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("document", Text, nullable=False),
)

ASSETS = Table(
    "assets",
    METADATA,
    Column("number", NUMBER, primary_key=True),
    Column("kind", NAME, nullable=False),
    Column("name", NAME, nullable=False),
    Column("version", NAME, nullable=False),  # "" for kinds that have none
    Column("document", Text, nullable=False),
    UniqueConstraint("kind", "name", "version", name="assets_version"),
    Index("assets_newest", "kind", "name", "number"),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("number", NUMBER, primary_key=True),
    Column("uid", NAME, nullable=False),  # made by the server; of a job from before there were any its name
    Column("name", NAME, nullable=False),
    Column("request_id", NAME),  # NULL where the client gave none
    Column("request_body", NAME),  # the hash of what that request asked for; NULL where it was never noted
    Column("endpoint", NAME, nullable=False),
    Column("deployment", NAME, nullable=False),
    Column("status", NAME, nullable=False),
    Column("parent", NAME, nullable=False),  # the job whose step it is; "" for jobs of their own
    Column("document", Text, nullable=False),
    UniqueConstraint("uid", name="jobs_uid"),
    UniqueConstraint("name", name="jobs_name"),
    UniqueConstraint("endpoint", "request_id", name="jobs_request"),
    Index("jobs_of_endpoint", "endpoint", "number"),
    Index("jobs_of_status", "status", "number"),
    Index("jobs_of_parent", "parent", "number"),
)

ALEMBIC_VERSION = Table("alembic_version", MetaData(), Column("version_num", Text))
"""Alembic's own: which revision a database has."""
