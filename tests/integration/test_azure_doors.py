"""What clients of Azure may ask without the server's token: exactly what is signed for them, and constants."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from ingress_server import TOKEN, running_server

from batch_endpoints.ingress.azure.tokens import signing_key
from batch_endpoints.policies.azure_client import identity_secret

WS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
METADATA, TOKEN_ROUTE = "/metadata/endpoints", "/metadata/identity/token"
AUDIENCE = "https://ml.azure.local"


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    return tmp_path_factory.mktemp("keys") / "key.pem"


@pytest.fixture(scope="module")
def server(tmp_path_factory, key_file):
    with running_server(tmp_path_factory.mktemp("server"), key_file=key_file) as running:
        yield running


@pytest.fixture(scope="module")
def anybody(server):
    """A client that sends no token."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def issued(anybody, audience=AUDIENCE):
    answer = anybody.get(
        TOKEN_ROUTE, params={"resource": audience}, headers={"X-IDENTITY-HEADER": identity_secret(TOKEN)}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_the_description_of_the_cloud_is_open_and_names_nothing_but_the_server(server, anybody):
    cloud = anybody.get(METADATA, params={"api-version": "2019-05-01"}).json()
    assert cloud["resourceManager"] == f"{server.url}/"
    assert anybody.get("/discovery/w").json() == {"api": server.url}


@pytest.mark.parametrize(
    "path",
    [WS, WS.lower(), f"{WS}/jobs", f"{WS}/models", f"{WS}/datastores", f"/history/v1.0{WS}/runs/x", "/endpoints"],
)
def test_everything_else_asks_for_a_token(anybody, path):
    assert anybody.get(path).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"X-IDENTITY-HEADER": "x"}, bearer(TOKEN)], ids=["none", "wrong", "bearer"])
def test_the_token_route_asks_for_its_own_secret(anybody, headers):
    answer = anybody.get(TOKEN_ROUTE, params={"resource": AUDIENCE}, headers=headers)
    assert answer.status_code == 401
    assert "X-IDENTITY-HEADER" in answer.json()["error"]["message"]


def test_a_token_of_the_route_opens_the_workspace_and_is_for_the_audience_that_was_asked_for(server, anybody):
    for audience in (AUDIENCE, server.url, f"{server.url}/"):
        token = issued(anybody, audience)
        assert anybody.get(WS, headers=bearer(token)).status_code == 200
        assert jwt.decode(token, options={"verify_signature": False})["aud"] == audience


def test_tokens_are_made_for_no_other_audience(anybody):
    answer = anybody.get(
        TOKEN_ROUTE,
        params={"resource": "https://storage.azure.com"},
        headers={"X-IDENTITY-HEADER": identity_secret(TOKEN)},
    )
    assert answer.status_code == 400


def _claims(**changed):
    now = int(time.time())
    claims = {"iss": "batch-endpoints", "aud": AUDIENCE, "sub": "owner", "use": "client", "iat": now, "exp": now + 60}
    return {key: value for key, value in {**claims, **changed}.items() if value is not None}


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://management.azure.com"},
        {"use": "job"},
        {"use": None},
        {"exp": 1},
        {"exp": None},
        {"iss": "somebody"},
        {"sub": None},
    ],
    ids=["other audience", "a job's", "no use", "expired", "without end", "other issuer", "nobody's"],
)
def test_a_token_of_our_own_key_is_refused_unless_it_is_a_clients(anybody, key_file, changed):
    key = signing_key(key_file)
    assert anybody.get(WS, headers=bearer(jwt.encode(_claims(), key, algorithm="ES256"))).status_code == 200
    token = jwt.encode(_claims(**changed), key, algorithm="ES256")
    assert anybody.get(WS, headers=bearer(token)).status_code == 401


def test_a_token_that_another_key_has_signed_or_none_is_refused(anybody):
    other = jwt.encode(_claims(), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")
    unsigned = jwt.encode(_claims(), None, algorithm="none")
    for token in (other, unsigned):
        assert anybody.get(WS, headers=bearer(token)).status_code == 401


def test_the_signing_key_is_its_owners_alone_and_outlives_a_restart(key_file, server):
    assert key_file.stat().st_mode & 0o077 == 0
    assert signing_key(key_file).private_numbers() == signing_key(key_file).private_numbers()


# blobs


@pytest.fixture(scope="module")
def address(server):
    """Opens the default datastore for an hour, as a client gets it."""
    secrets = server.http.post(f"{WS}/datastores/workspaceblobstore/listSecrets", json={}).json()
    return "/blob/ws.blob.local/workspaceblobstore", secrets["sasToken"]


BLOB = {"x-ms-blob-type": "BlockBlob"}


def test_a_signed_address_lets_in_without_a_token(anybody, address):
    container, signed = address
    put = anybody.put(f"{container}/a/b.txt?{signed}", content=b"hello", headers=BLOB)
    assert put.status_code == 201, put.text
    assert anybody.get(f"{container}/a/b.txt?{signed}").content == b"hello"


def _refused(answer, code="AuthenticationFailed"):
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, code)


def test_blobs_are_closed_without_a_signature_and_to_the_servers_own_token(server, anybody, address):
    container, _ = address
    _refused(anybody.get(f"{container}/a/b.txt"))
    _refused(server.http.get(f"{container}/a/b.txt"))
    _refused(anybody.put(f"{container}/a/b.txt", content=b"x", headers=BLOB))
    _refused(anybody.get(f"{container}?restype=container&comp=list"))


@pytest.mark.parametrize(
    "path",
    [
        "/blob/ws.blob.local/workspaceartifactstore/a/b.txt",
        "/blob/code.blob.local/workspaceblobstore/a/b.txt",
        "/blob/ws.blob.local/workspaceblobstore/workspaceblobstore/../../x",
        "/blob/ws.blob.local",
        "/blob/x/y",
    ],
)
def test_a_signature_for_another_container_opens_nothing(anybody, address, path):
    answer = anybody.get(f"{path}?{address[1]}")
    assert answer.status_code in (403, 404)
    if answer.status_code == 404:
        assert "workspaceblobstore/" in path


@pytest.mark.parametrize("field", ["sp", "se", "sv", "sr", "saoid", "sig"])
def test_no_part_of_a_signed_address_can_be_changed(anybody, address, field):
    container, signed = address
    fields = {key: values[0] for key, values in parse_qs(signed).items()}
    _refused(anybody.get(f"{container}/a/b.txt", params={**fields, field: fields[field] + "w"}))
    del fields[field]
    _refused(anybody.get(f"{container}/a/b.txt", params=fields))


def test_an_address_for_reading_does_not_write(server, anybody):
    secrets = server.http.post(f"{WS}/datastores/workspaceartifactstore/listSecrets", json={}).json()
    path = f"/blob/ws.blob.local/workspaceartifactstore/ExperimentRun/dcid.j/x?{secrets['sasToken']}"
    _refused(anybody.put(path, content=b"x", headers=BLOB), "AuthorizationPermissionMismatch")


def test_an_address_expires_after_an_hour(tmp_path):
    now = [1_900_000_000.0]
    with running_server(tmp_path, clock=lambda: now[0]) as server, httpx.Client(base_url=server.url) as anybody:
        secrets = server.http.post(f"{WS}/datastores/workspaceblobstore/listSecrets", json={}).json()
        path = f"/blob/ws.blob.local/workspaceblobstore?restype=container&comp=list&{secrets['sasToken']}"
        now[0] += 3599
        assert anybody.get(path).status_code == 200
        now[0] += 1
        _refused(anybody.get(path))


def test_the_log_of_a_job_is_opened_by_its_own_address_alone(server, anybody):
    first, second = (server.job(server.endpoint(name)) for name in ("log-one", "log-two"))
    details = server.http.get(f"/history/v1.0{WS}/runs/{first}/details").json()
    address = details["logFiles"]["user_logs/std_log.txt"]
    assert anybody.get(address).status_code == 200
    url = urlsplit(address)
    _refused(anybody.get(url.path))
    _refused(anybody.get(f"{url.path.replace(first, second)}?{url.query}"))
    _refused(anybody.get(f"{url.path.replace('/azure-logs/', '/azure-logs/x/')}?{url.query}"))
