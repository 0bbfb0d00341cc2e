"""Records in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, func, select, update

from batch_endpoints.interfaces.records import AnyAsset, AnyDeployment, AssetKind, Listing, Page
from batch_endpoints.records import wording
from batch_endpoints.records.database import Database
from batch_endpoints.records.documents import read_asset, read_deployment, read_endpoint, read_job, write
from batch_endpoints.records.paging import FIRST_PAGE, listing, position
from batch_endpoints.records.tables import ASSETS, DEPLOYMENTS, ENDPOINTS, JOBS
from batch_endpoints.records.versions import is_latest, version_of, with_version
from batch_endpoints.specs import BatchEndpoint, BatchJob, JobStatus


class SqlRecordStore:
    """A RecordStore in a database that several processes share.

    Args:
        url: ``sqlite:////folder/records.db`` or ``postgresql://user:password@host/database``, migrated.

    Raises:
        Refused: it is no such URL, or the database does not have the tables of this version.
        ServerError: the database cannot be used, or not within 30 s; every method may raise it.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        try:
            self._database.check_revision()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connections back; a later call opens new ones."""
        self._database.close()

    def save_endpoint(self, endpoint: BatchEndpoint) -> BatchEndpoint:
        with self._database.writing() as connection:
            self._database.lock(connection, f"endpoint/{endpoint.name.lower()}")
            endpoint = endpoint.model_copy(update={"name": _endpoint_name(connection, endpoint.name)})
            self._database.put(connection, ENDPOINTS, ("name",), name=endpoint.name, document=write(endpoint))
        return endpoint

    def endpoint(self, name: str) -> BatchEndpoint:
        with self._database.reading() as connection:
            name = _endpoint_name(connection, name)
            document = connection.scalar(select(ENDPOINTS.c.document).where(ENDPOINTS.c.name == name))
            if document is None:
                raise _no_endpoint(connection, name)
        return read_endpoint(document)

    def endpoints(self, page: Page = FIRST_PAGE) -> Listing[BatchEndpoint]:
        with self._database.reading() as connection:
            rows = connection.execute(_by_name(ENDPOINTS, page)).all()
        return listing([(row.name, read_endpoint(row.document)) for row in rows], page)

    def update_endpoint(self, name: str, change: Callable[[BatchEndpoint], BatchEndpoint]) -> BatchEndpoint:
        with self._database.writing() as connection:
            name = _endpoint_name(connection, name)
            document = _locked(connection, ENDPOINTS, ENDPOINTS.c.name == name)
            if document is None:
                raise _no_endpoint(connection, name)
            changed = change(read_endpoint(document))
            connection.execute(update(ENDPOINTS).where(ENDPOINTS.c.name == name).values(document=write(changed)))
        return changed

    def delete_endpoint(self, name: str) -> None:
        with self._database.writing() as connection:
            name = _endpoint_name(connection, name)
            # its deployments go with it: ON DELETE CASCADE
            if not connection.execute(delete(ENDPOINTS).where(ENDPOINTS.c.name == name)).rowcount:
                raise _no_endpoint(connection, name)

    def save_deployment(self, deployment: AnyDeployment) -> AnyDeployment:
        with self._database.writing() as connection:
            endpoint = _endpoint_name(connection, deployment.endpoint_name)
            _need_endpoint(connection, endpoint, keep=True)
            self._database.lock(connection, f"deployment/{endpoint}/{deployment.name.lower()}")
            name = _deployment_name(connection, endpoint, deployment.name)
            deployment = deployment.model_copy(update={"endpoint_name": endpoint, "name": name})
            values = {"endpoint": endpoint, "name": name, "document": write(deployment)}
            self._database.put(connection, DEPLOYMENTS, ("endpoint", "name"), **values)
        return deployment

    def deployment(self, endpoint: str, name: str) -> AnyDeployment:
        with self._database.reading() as connection:
            endpoint = _endpoint_name(connection, endpoint)
            name = _deployment_name(connection, endpoint, name)
            document = connection.scalar(select(DEPLOYMENTS.c.document).where(*_deployment(endpoint, name)))
            if document is None:
                raise _no_deployment(connection, endpoint, name)
        return read_deployment(document)

    def deployments(self, endpoint: str, page: Page = FIRST_PAGE) -> Listing[AnyDeployment]:
        with self._database.reading() as connection:
            endpoint = _endpoint_name(connection, endpoint)
            query = _by_name(DEPLOYMENTS, page).where(DEPLOYMENTS.c.endpoint == endpoint)
            _need_endpoint(connection, endpoint)
            rows = connection.execute(query).all()
        return listing([(row.name, read_deployment(row.document)) for row in rows], page)

    def update_deployment(
        self, endpoint: str, name: str, change: Callable[[AnyDeployment], AnyDeployment]
    ) -> AnyDeployment:
        with self._database.writing() as connection:
            endpoint = _endpoint_name(connection, endpoint)
            name = _deployment_name(connection, endpoint, name)
            which = _deployment(endpoint, name)
            document = _locked(connection, DEPLOYMENTS, *which)
            if document is None:
                raise _no_deployment(connection, endpoint, name)
            changed = change(read_deployment(document))
            connection.execute(update(DEPLOYMENTS).where(*which).values(document=write(changed)))
        return changed

    def delete_deployment(self, endpoint: str, name: str) -> None:
        with self._database.writing() as connection:
            endpoint = _endpoint_name(connection, endpoint)
            name = _deployment_name(connection, endpoint, name)
            if not connection.execute(delete(DEPLOYMENTS).where(*_deployment(endpoint, name))).rowcount:
                raise _no_deployment(connection, endpoint, name)

    def save_asset(self, kind: AssetKind, asset: AnyAsset) -> AnyAsset:
        with self._database.writing() as connection:
            self._database.lock(connection, f"{kind}/{asset.name}")
            asset = with_version(kind, asset, _versions(connection, kind, asset.name))
            values = {"kind": kind, "name": asset.name, "version": version_of(asset), "document": write(asset)}
            self._database.put(connection, ASSETS, ("kind", "name", "version"), **values)
        return asset

    def asset(self, kind: AssetKind, name: str, version: str = "") -> AnyAsset:
        query = _newest_first(kind, name, ASSETS.c.document).limit(1)
        if not is_latest(version):
            query = query.where(ASSETS.c.version == version)
        with self._database.reading() as connection:
            document = connection.scalar(query)
            if document is None:
                raise _no_asset(connection, kind, name, version)
        return read_asset(kind, document)

    def assets(self, kind: AssetKind, page: Page = FIRST_PAGE) -> Listing[AnyAsset]:
        latest = (
            select(func.max(ASSETS.c.number))
            .where(ASSETS.c.kind == kind, ASSETS.c.name > page.after)
            .group_by(ASSETS.c.name)
            .order_by(ASSETS.c.name)
            .limit(page.top + 1)
        )
        query = select(ASSETS.c.name, ASSETS.c.document).where(ASSETS.c.number.in_(latest)).order_by(ASSETS.c.name)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return listing([(row.name, read_asset(kind, row.document)) for row in rows], page)

    def versions(self, kind: AssetKind, name: str, page: Page = FIRST_PAGE) -> Listing[AnyAsset]:
        query = _newest_first(kind, name, ASSETS.c.number, ASSETS.c.document).limit(page.top + 1)
        if (behind := position(page)) is not None:
            query = query.where(ASSETS.c.number < behind)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            if not rows and not _versions(connection, kind, name):
                raise _no_asset(connection, kind, name)
        return listing([(row.number, read_asset(kind, row.document)) for row in rows], page)

    def delete_asset(self, kind: AssetKind, name: str, version: str = "") -> None:
        statement = delete(ASSETS).where(ASSETS.c.kind == kind, ASSETS.c.name == name)
        if version:
            newest = _newest_first(kind, name, ASSETS.c.number).limit(1).scalar_subquery()
            statement = statement.where(
                ASSETS.c.number == newest if is_latest(version) else ASSETS.c.version == version
            )
        with self._database.writing() as connection:
            if not connection.execute(statement).rowcount:
                raise _no_asset(connection, kind, name, version)

    def add_job(self, job: BatchJob, request_id: str = "", request_body: str = "") -> BatchJob:
        request = {"request_id": request_id or None, "request_body": request_body or None}
        values = {"uid": job.uid or job.name, "name": job.name, **request, **_job_columns(job)}
        with self._database.writing() as connection:
            if self._database.add(connection, JOBS, **values):
                return job
            before = _job_of_request(connection, job.endpoint_name, request_id, request_body)
            if before is None:
                raise wording.job_exists(job.name)
        return before

    def job_of_request(self, endpoint: str, request_id: str, request_body: str = "") -> BatchJob | None:
        with self._database.reading() as connection:
            return _job_of_request(connection, endpoint, request_id, request_body)

    def job(self, name: str) -> BatchJob:
        with self._database.reading() as connection:
            document = connection.scalar(select(JOBS.c.document).where(JOBS.c.name == name))
            if document is None:
                raise _no_job(connection, name)
        return read_job(document)

    def jobs(
        self,
        *,
        endpoint: str = "",
        deployment: str = "",
        statuses: Iterable[JobStatus] = (),
        parent: str = "",
        oldest_first: bool = False,
        page: Page = FIRST_PAGE,
    ) -> Listing[BatchJob]:
        order = JOBS.c.number.asc() if oldest_first else JOBS.c.number.desc()
        query = select(JOBS.c.number, JOBS.c.document).order_by(order).limit(page.top + 1)
        query = query.where(JOBS.c.parent == parent)
        if endpoint:
            query = query.where(JOBS.c.endpoint == endpoint)
        if deployment:
            query = query.where(JOBS.c.deployment == deployment)
        if wanted := sorted(set(statuses)):
            query = query.where(JOBS.c.status.in_(wanted))
        if (behind := position(page)) is not None:
            query = query.where(JOBS.c.number > behind if oldest_first else JOBS.c.number < behind)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return listing([(row.number, read_job(row.document)) for row in rows], page)

    def update_job(self, name: str, change: Callable[[BatchJob], BatchJob]) -> BatchJob:
        with self._database.writing() as connection:
            document = _locked(connection, JOBS, JOBS.c.name == name)
            if document is None:
                raise _no_job(connection, name)
            changed = change(read_job(document))
            connection.execute(update(JOBS).where(JOBS.c.name == name).values(**_job_columns(changed)))
        return changed


def _by_name(table: Table, page: Page) -> Select[Any]:
    behind = table.c.name > page.after
    return select(table.c.name, table.c.document).where(behind).order_by(table.c.name).limit(page.top + 1)


def _endpoint_name(connection: Connection, name: str) -> str:
    """The name as an endpoint has it, whatever the case of its letters; the name itself where none is so called."""
    return _spelled(connection, ENDPOINTS.c.name, name)


def _deployment_name(connection: Connection, endpoint: str, name: str) -> str:
    """As ``_endpoint_name``, of a deployment."""
    return _spelled(connection, DEPLOYMENTS.c.name, name, DEPLOYMENTS.c.endpoint == endpoint)


def _spelled(connection: Connection, column: ColumnElement[str], name: str, *where: ColumnElement[bool]) -> str:
    alike = select(column).where(func.lower(column) == name.lower(), *where)
    exact_first = alike.order_by((column != name), column).limit(1)  # before names were one, two could be there
    return connection.scalar(exact_first) or name


def _deployment(endpoint: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return DEPLOYMENTS.c.endpoint == endpoint, DEPLOYMENTS.c.name == name


def _locked(connection: Connection, table: Table, *which: ColumnElement[bool]) -> str | None:
    """A row's document, which nobody else changes before the transaction ends; None where there is no such row."""
    # the row is locked in PostgreSQL; in SQLite, which knows no such words, every writer waits
    document: str | None = connection.scalar(select(table.c.document).where(*which).with_for_update())
    return document


def _newest_first(kind: AssetKind, name: str, *columns: ColumnElement[Any]) -> Select[Any]:
    # "created last" and not "saved last": a version that is replaced keeps its number
    return select(*columns).where(ASSETS.c.kind == kind, ASSETS.c.name == name).order_by(ASSETS.c.number.desc())


def _versions(connection: Connection, kind: AssetKind, name: str) -> list[str]:
    return list(connection.scalars(_newest_first(kind, name, ASSETS.c.version)))


def _job_of_request(connection: Connection, endpoint: str, request_id: str, request_body: str) -> BatchJob | None:
    query = select(JOBS.c.request_body, JOBS.c.document)
    row = connection.execute(query.where(JOBS.c.endpoint == endpoint, JOBS.c.request_id == request_id)).first()
    if row is None:
        return None
    job = read_job(row.document)
    if request_body and row.request_body and row.request_body != request_body:
        raise wording.other_body(request_id, job.name)
    return job


def _job_columns(job: BatchJob) -> dict[str, str]:
    columns = {"endpoint": job.endpoint_name, "deployment": job.deployment_name, "status": job.status}
    return {**columns, "parent": job.parent_job_name, "document": write(job)}


def _need_endpoint(connection: Connection, name: str, *, keep: bool = False) -> None:
    """Raises NotFound; with ``keep`` nobody deletes the endpoint before the transaction ends."""
    query = select(ENDPOINTS.c.name).where(ENDPOINTS.c.name == name)
    if connection.scalar(query.with_for_update(read=True, key_share=True) if keep else query) is None:
        raise _no_endpoint(connection, name)


def _no_endpoint(connection: Connection, name: str) -> Exception:
    return wording.no_endpoint(name, list(connection.scalars(select(ENDPOINTS.c.name).order_by(ENDPOINTS.c.name))))


def _no_deployment(connection: Connection, endpoint: str, name: str) -> Exception:
    _need_endpoint(connection, endpoint)
    there = select(DEPLOYMENTS.c.name).where(DEPLOYMENTS.c.endpoint == endpoint).order_by(DEPLOYMENTS.c.name)
    return wording.no_deployment(endpoint, name, list(connection.scalars(there)))


def _no_asset(connection: Connection, kind: AssetKind, name: str, version: str = "") -> Exception:
    if versions := _versions(connection, kind, name):
        return wording.no_version(kind, name, version, versions)
    there = select(ASSETS.c.name).where(ASSETS.c.kind == kind).order_by(ASSETS.c.name).distinct()
    return wording.no_asset(kind, name, list(connection.scalars(there)))


def _no_job(connection: Connection, name: str) -> Exception:
    newest = select(JOBS.c.name).order_by(JOBS.c.number.desc()).limit(wording.SHOWN)
    return wording.no_job(name, list(connection.scalars(newest)))
