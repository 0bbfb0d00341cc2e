"""Records as JSON documents and back."""

from __future__ import annotations

from collections.abc import Callable

from batch_endpoints.interfaces.records import AnyAsset, AssetKind
from batch_endpoints.specs import (
    COMPONENT,
    DEPLOYMENT,
    BatchEndpoint,
    BatchJob,
    Compute,
    Data,
    Datastore,
    Environment,
    Model,
    Spec,
)

read_endpoint = BatchEndpoint.model_validate_json
read_deployment = DEPLOYMENT.validate_json
read_job = BatchJob.model_validate_json

ASSETS: dict[AssetKind, Callable[[str], AnyAsset]] = {
    "models": Model.model_validate_json,
    "data": Data.model_validate_json,
    "datastores": Datastore.model_validate_json,
    "environments": Environment.model_validate_json,
    "components": COMPONENT.validate_json,
    "computes": Compute.model_validate_json,
}


def read_asset(kind: AssetKind, document: str) -> AnyAsset:
    return ASSETS[kind](document)


def write(record: Spec) -> str:
    """The record's document.

    What could not be read back (an infinite number, a value that a copy took unchecked) is a bug of the caller's:
    it comes out here, and not later in every list that holds the record.
    """
    document = record.model_dump_json()
    type(record).model_validate_json(document)
    return document
