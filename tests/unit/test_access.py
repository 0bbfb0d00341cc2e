"""Credentials by reference: which belong to a URI, and what they stand for on a node."""

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.errors import InputError
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import Credentials, Datastore
from batch_endpoints.storage.files.access import Access, credentials_for, secret, secret_variables
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.files.s3 import s3_keys

OUTER, INNER = Credentials(access_key_id="outer"), Credentials(access_key_id="inner")
ACCESS = Access({"s3://lake": OUTER, "s3://lake/x/": INNER, "s3://other/y?region=eu": OUTER})


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://lake/a", OUTER),
        ("S3://lake/a", OUTER),
        ("s3://lake", OUTER),
        ("s3://lake/x", INNER),
        ("s3://lake/x/*.csv", INNER),
        ("s3://lake/xy", OUTER),
        ("s3://lakes/a", None),
        ("s3://other/y/z?region=us", OUTER),
        ("s3://other", None),
        ("/lake/x", None),
    ],
)
def test_credentials_belong_to_what_is_below_the_longest_prefix(uri, expected):
    assert credentials_for(uri, ACCESS) == expected


def test_a_reference_is_resolved_where_it_is_used(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from-a-file\n")
    monkeypatch.setenv("THE_KEY", "from-the-environment")
    assert secret("env:THE_KEY") == "from-the-environment"
    assert secret(f"file:{tmp_path}/key") == "from-a-file"
    assert secret("plain") == "plain"


@pytest.mark.parametrize("reference", ["env:NOT_SET_ANYWHERE", "file:/not/there"])
def test_a_reference_that_leads_nowhere_is_named(reference):
    with pytest.raises(InputError, match=reference.partition(":")[2]):
        secret(reference)


def test_a_reference_to_a_setting_of_the_server_is_not_resolved(monkeypatch):
    monkeypatch.setenv("BATCH_ENDPOINTS_DATABASE", "postgresql://me:hush@host/records")
    with pytest.raises(InputError, match="BATCH_ENDPOINTS_DATABASE, which is a setting of the server") as told:
        secret("env:BATCH_ENDPOINTS_DATABASE")
    assert "hush" not in str(told.value)


def test_the_variables_that_credentials_refer_to_are_known():
    keys = Credentials(access_key_id="env:ID", secret_access_key="env:KEY", session_token="file:/x")
    assert secret_variables(Access({"s3://a": keys, "s3://b": Credentials(sas_token="env:SAS")})) == {
        "ID",
        "KEY",
        "SAS",
    }


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("THE_KEY", "hush")
    keys = s3_keys(Credentials(access_key_id="env:THE_KEY", secret_access_key="env:THE_KEY"))
    assert keys.secret_access_key == "hush"
    assert "hush" not in repr(keys)


def test_credentials_that_cannot_be_used_are_told_instead_of_ignored():
    with pytest.raises(InputError, match=r"cannot be used for 'https://x/a'"):
        open_place("https://x/a", Access({"https://x": OUTER}))


def test_a_job_gets_the_references_of_the_datastores_it_reaches_into(tmp_path):
    assets = ControlPlane(MemoryRecordStore(), jobs_root=tmp_path, uploads_root=tmp_path).assets
    assets.put("datastores", Datastore(name="lake", type="uri", uri="s3://lake", credentials=OUTER))
    assets.put("datastores", Datastore(name="pond", type="uri", uri="s3://pond", credentials=INNER))
    assets.put("datastores", Datastore(name="open", type="uri", uri="s3://open"))
    assert assets.places.access(["s3://lake/in", "s3://open/in", "file:///x", ""]) == Access({"s3://lake": OUTER})
