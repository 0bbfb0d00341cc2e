"""The server as the unmodified client ``azure-ai-ml`` sees it: Azure ML's own addresses over the same control plane.

Every module translates one noun and keeps no second truth. What is open without a token stands in ``doors``.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.ingress.azure.assets import add_assets
from batch_endpoints.ingress.azure.blobs import add_blobs
from batch_endpoints.ingress.azure.codes import add_codes
from batch_endpoints.ingress.azure.computes import add_computes
from batch_endpoints.ingress.azure.datastores import add_datastores
from batch_endpoints.ingress.azure.deployments import add_deployments
from batch_endpoints.ingress.azure.discovery import add_discovery
from batch_endpoints.ingress.azure.doors import AzureDoors
from batch_endpoints.ingress.azure.endpoints import add_endpoints
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.jobs import add_jobs
from batch_endpoints.ingress.azure.routes import Routes
from batch_endpoints.ingress.azure.run_history import add_run_history

__all__ = ["AzureDoors", "azure_routes"]


def azure_routes(control_plane: ControlPlane, doors: AzureDoors) -> Sequence[BaseRoute]:
    """All of Azure ML's addresses that this server answers."""
    facade = Facade(control_plane, doors)
    routes = Routes()
    for add in (
        *(add_discovery, add_datastores, add_blobs, add_codes, add_assets, add_computes),
        *(add_endpoints, add_deployments, add_jobs, add_run_history),
    ):
        add(routes, facade)
    routes.close()
    return routes.all
