"""The environment by which the unmodified client of Azure ML finds and trusts this server."""

from __future__ import annotations

import os
from pathlib import Path

import certifi

from batch_endpoints.policies.azure_client import METADATA, TOKEN, identity_secret

AUTHORITIES = "REQUESTS_CA_BUNDLE"
_OURS = b"\n# the authority of a batch endpoints server\n"


def azure_variables(url: str, token: str, authorities: Path) -> dict[str, str]:
    """What a client's process has to have in its environment.

    Args:
        url: the server, with https.
        token: the server's.
        authorities: from ``combined_authorities``.
    """
    return {
        "ARM_CLOUD_METADATA_URL": f"{url}{METADATA}?api-version=2019-05-01",
        AUTHORITIES: str(authorities),
        "IDENTITY_ENDPOINT": f"{url}{TOKEN}",
        "IDENTITY_HEADER": identity_secret(token),
        "AZUREML_RUN_POLLING_INTERVAL_MAX": "5",
    }


def combined_authorities(authority: Path, target: Path, known: str | None) -> Path:
    """Write a file with the authorities that were trusted before, and the server's.

    Args:
        authority: the server's.
        target: the new file.
        known: the file that REQUESTS_CA_BUNDLE names; None takes the usual authorities.
    """
    before = Path(known or certifi.where()).read_bytes().partition(_OURS)[0]  # it may be what this has written
    aside = target.with_name(f"{target.name}.{os.getpid()}")
    aside.write_bytes(before + _OURS + authority.read_bytes())
    aside.replace(target)
    return target
