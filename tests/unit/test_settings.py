from pathlib import Path

import pytest

from batch_endpoints.errors import SpecError
from batch_endpoints.settings import Settings, default_max_running_jobs

GIB = 1 << 30


def test_an_empty_environment_gives_the_defaults():
    settings = Settings.read({})
    home = Path("~/.batch-endpoints").expanduser()
    assert (settings.home, settings.url, settings.max_running_jobs) == (home, "", 0)
    assert settings.database_url == f"sqlite:///{home}/records.db"
    assert settings.cache == Path("~/.cache/batch-endpoints").expanduser()  # a temporary folder may be emptied
    assert (settings.jobs_root, settings.uploads_root) == (f"{home.as_uri()}/jobs", f"{home.as_uri()}/uploads")
    assert settings.store_timeout_seconds == 30


def test_the_environment_is_followed():
    settings = Settings.read(
        {
            "BATCH_ENDPOINTS_HOME": "/srv/be",
            "BATCH_ENDPOINTS_URL": "http://head:8700/",
            "BATCH_ENDPOINTS_DATABASE": "postgresql://db/x",
            "BATCH_ENDPOINTS_MAX_RUNNING_JOBS": "7",
            "BATCH_ENDPOINTS_CACHE": "/scratch/be",
        }
    )
    assert settings == Settings(Path("/srv/be"), "http://head:8700", "postgresql://db/x", 7, Path("/scratch/be"))
    assert settings.database_url == "postgresql://db/x"


@pytest.mark.parametrize(
    ("environment", "token", "file"),
    [
        ({}, "", None),
        ({"BATCH_ENDPOINTS_TOKEN": "secret\n"}, "secret", None),
        ({"BATCH_ENDPOINTS_TOKEN_FILE": "/run/secrets/token"}, "", Path("/run/secrets/token")),
        ({"BATCH_ENDPOINTS_TOKEN_FILE": "~/token"}, "", Path("~/token").expanduser()),
        ({"BATCH_ENDPOINTS_TOKEN_FILE": "token"}, "", Path("token").absolute()),
        ({"BATCH_ENDPOINTS_TOKEN": "", "BATCH_ENDPOINTS_TOKEN_FILE": ""}, "", None),
    ],
    ids=["neither", "with a line break", "file", "file at home", "relative file", "both empty"],
)
def test_the_token_or_its_file_is_taken_from_the_environment_and_never_printed(environment, token, file):
    settings = Settings.read(environment)
    assert (settings.token, settings.token_file) == (token, file)
    assert not token or token not in repr(settings)


@pytest.mark.parametrize(
    ("root", "jobs"),
    [
        ("s3://lake/batch/", "s3://lake/batch/jobs"),
        ("/mnt/shared", "file:///mnt/shared/jobs"),
        ("file:///mnt/shared", "file:///mnt/shared/jobs"),
    ],
    ids=["store", "path", "uri"],
)
def test_job_folders_live_below_the_root(root, jobs):
    assert Settings.read({"BATCH_ENDPOINTS_ROOT": root}).jobs_root == jobs


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "1e9"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(seconds):
    with pytest.raises(SpecError, match=r"BATCH_ENDPOINTS_STORE_TIMEOUT is .* not a number of seconds"):
        Settings.read({"BATCH_ENDPOINTS_STORE_TIMEOUT": seconds})


@pytest.mark.parametrize("limit", ["many", "-1", "1.5", "²"])
def test_a_limit_that_is_no_number_is_refused(limit):
    with pytest.raises(SpecError, match=r"BATCH_ENDPOINTS_MAX_RUNNING_JOBS is .* not a whole number"):
        Settings.read({"BATCH_ENDPOINTS_MAX_RUNNING_JOBS": limit})


@pytest.mark.parametrize(
    ("memory", "cores", "expected"),
    [(GIB // 2, 1, 1), (8 * GIB, 2, 4), (4 * GIB, 16, 2), (512 * GIB, 8, 16)],
    ids=["tiny", "by cores", "by memory", "large"],
)
def test_the_head_carries_drivers_by_its_memory_and_cores(memory, cores, expected):
    assert default_max_running_jobs(memory, cores) == expected


@pytest.mark.parametrize(
    ("root", "uploads"),
    [
        ("s3://lake/be/", "s3://lake/be/uploads"),
        ("/shared", "file:///home/me/uploads"),
        ("", "file:///home/me/uploads"),
    ],
)
def test_uploads_are_where_every_node_reads_them(root, uploads):
    settings = Settings.read({"BATCH_ENDPOINTS_HOME": "/home/me", "BATCH_ENDPOINTS_ROOT": root})
    assert settings.uploads_root == uploads
