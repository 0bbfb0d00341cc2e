"""The server on Ray Serve: an ingress replica that answers HTTP, and the controller.

Both keep nothing that they could not lose: Serve restarts them, and the records tell where they were.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray._common import tls_utils
from ray.serve._private import replica

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.controller.reconcile import Controller
from batch_endpoints.engine.on_ray.launcher import RayJobLauncher
from batch_endpoints.errors import ServerError
from batch_endpoints.ingress.app import create_app
from batch_endpoints.records import open_store
from batch_endpoints.settings import PRIVATE_UMASK, Settings

ANSWER_SECONDS = 10.0
TICK_SECONDS = 0.2  # how soon the controller sees a new job or the end of one
INGRESS, CONTROLLER = "batch-endpoints-ingress", "batch-endpoints-controller"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerConfig:
    """What the two deployments are told.

    Args:
        server_id: tells this server from any other.
        dashboard: HTTP address of Ray's dashboard, which takes jobs.
        allowed_hosts: names a client may call the server by; empty allows any.
        local_paths: may clients name any path on the server's disk?
    """

    settings: Settings
    server_id: str
    dashboard: str
    allowed_hosts: tuple[str, ...] = ()
    local_paths: bool = True


def deploy(
    config: ServerConfig,
    *,
    ray_address: str,
    host: str,
    port: int,
    certificates: tuple[str, str] | None = None,
) -> None:
    """Run the server on a Ray cluster; it stays when this process ends.

    Args:
        ray_address: the cluster (host:port of its head).
        host: address to listen on.
        port: TCP port of the ingress.
        certificates: files with the server's certificate and key, to speak HTTPS; None speaks HTTP.
    """
    _connect(ray_address)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    secure = dict(zip(("ssl_certfile", "ssl_keyfile"), certificates, strict=True)) if certificates else {}
    serve.start(http_options={"host": host, "port": port, **secure}, logging_config={"enable_access_log": False})
    # SQLite and the uploads are files of the head; a cluster with a shared disk and PostgreSQL would not need this
    on_head = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}

    controller = serve.deployment(name="controller", ray_actor_options=on_head, health_check_period_s=5)(
        _ControllerReplica
    )

    def build() -> FastAPI:
        return _build_app(config)

    ingress = serve.deployment(name="ingress", ray_actor_options=on_head, max_ongoing_requests=1000)(
        serve.ingress(build)()
    )
    serve.run_many(
        [
            serve.RunTarget(controller.bind(config), name=CONTROLLER, route_prefix=None),
            serve.RunTarget(ingress.bind(), name=INGRESS, route_prefix="/"),
        ]
    )
    ray.shutdown()


def withdraw(*, ray_address: str) -> None:
    """Take the server off a Ray cluster that goes on running; Serve too, unless others use it."""
    _connect(ray_address)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    for name in (INGRESS, CONTROLLER):
        serve.delete(name)
    if not serve.status().applications:
        serve.shutdown()  # its proxy would keep the port
    ray.shutdown()


def dashboard_of(ray_address: str) -> str:
    """HTTP address of a running cluster's dashboard."""
    address = f"http://{_connect(ray_address).address_info['webui_url']}"
    ray.shutdown()
    return address


def _connect(ray_address: str) -> Any:
    _check_answers(ray_address)
    on_terminate = signal.getsignal(signal.SIGTERM)
    context = ray.init(ray_address, logging_level=logging.WARNING, log_to_driver=False, namespace="serve")
    signal.signal(signal.SIGTERM, on_terminate)  # Ray sets its own, and this process is not Ray's
    return context


def _check_answers(ray_address: str) -> None:
    """Ray itself would try for minutes to reach a cluster that is not there."""
    host, _, port = ray_address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ServerError(
            f"no Ray cluster answers at '{ray_address}': {error}",
            mend="Name the HOST:PORT of its head (`ray start --head` prints it; 6379 by default).",
        ) from None


def _build_app(config: ServerConfig) -> FastAPI:
    _close_to_others()
    settings = config.settings
    control_plane = ControlPlane(
        open_store(settings.database_url),
        jobs_root=settings.jobs_root,
        uploads_root=settings.uploads_root,
        local_paths=config.local_paths,
    )
    return create_app(
        control_plane,
        server_id=config.server_id,
        token=settings.token_at_home.read_text().strip(),
        allowed_hosts=config.allowed_hosts,
        key_file=settings.signing_key_at_home,
    )


def _close_to_others() -> None:
    """Keep this replica's files to its user, and its listener to the address of its node.

    Serve opens a port for calls between deployments on all addresses, once the replica has been made; what is sent
    there is unpickled. There is no setting for it (Ray 2.60).
    """
    os.umask(PRIVATE_UMASK)

    def listen_on_node_address(server: Any, address: str) -> Any:
        node = ray.util.get_node_ip_address()
        return tls_utils.add_port_to_grpc_server(
            server, address.replace("[::]", f"[{node}]" if ":" in node else node)
        )

    replica.add_port_to_grpc_server = listen_on_node_address  # type: ignore[attr-defined]


class _ControllerReplica:
    """Runs the reconcile loop in a thread; Serve restarts the replica when the loop has ended."""

    def __init__(self, config: ServerConfig) -> None:
        _close_to_others()
        limit = config.settings.max_running_jobs
        self._controller = Controller(
            open_store(config.settings.database_url),
            RayJobLauncher(config.dashboard, {}),
            max_running_jobs=limit,
            clock=lambda: datetime.now(timezone.utc),
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconcile", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            try:
                self._controller.reconcile()
            except Exception:  # the database may be away for a while: the loop must outlive that
                logger.exception("reconcile failed, trying again")

    def check_health(self) -> None:
        if not self._thread.is_alive():
            raise RuntimeError("the reconcile loop has ended")

    def __del__(self) -> None:
        self._stop.set()
