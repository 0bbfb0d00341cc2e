"""The command line: ``batch-endpoints <noun> <verb>``, in the grammar of ``az ml``.

Nouns are loaded when they are used; no verb of a client loads Ray, MLflow or pyarrow.
"""

from __future__ import annotations

from batch_endpoints.cli.grammar import Main

main = Main(
    name="batch-endpoints",
    help="""Batch endpoints on Ray: stable HTTP addresses that score data in parallel.

    \b
    batch-endpoints up
    batch-endpoints endpoint create -f endpoint.yml
    batch-endpoints deployment create -f deployment.yml --set-default
    batch-endpoints endpoint invoke -n tumor --input data/ --stream

    `batch-endpoints <noun> --help` lists the verbs of a noun. The server is --server, or
    BATCH_ENDPOINTS_URL, or the one that `up` started here.
    """,
    places={
        "batch-endpoint": ("endpoint:endpoint", "Stable addresses: create, update, show, list, delete, invoke."),
        "batch-deployment": ("deployment:deployment", "What answers behind an endpoint: model, script, compute."),
        "job": ("job:job", "Runs of deployments: show, list, stream, cancel, download."),
        "model": ("assets:model", "Models, by name and version."),
        "data": ("assets:data", "Data assets: URIs with a name and versions."),
        "datastore": ("assets:datastore", "Places for data: URI prefixes and how to get in."),
        "environment": ("environment:environment", "Interpreters and packages for scoring scripts."),
        "component": ("assets:component", "Reusable steps and the pipelines made of them."),
        "compute": ("assets:compute", "Clusters that deployments run on."),
        "up": ("server:up", "Start a server on this machine."),
        "down": ("server:down", "End what `up` started, and nothing else."),
        "status": ("server:status", "Show what runs on this machine."),
        "token": ("server:token", "Print the token that the server asks for."),
        "ca": ("server:ca", "Print the file with the certificate that clients of `up --tls` trust."),
        "azure": ("azure:azure", "Serve the unmodified client of Azure ML: up, env, check."),
        "quickstart": ("quickstart:quickstart", "Train, deploy and score on this machine, from nothing."),
    },
    aliases={"endpoint": "batch-endpoint", "deployment": "batch-deployment"},
)
