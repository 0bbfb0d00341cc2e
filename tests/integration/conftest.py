"""What tests of interpreters share."""

from contextlib import ExitStack, closing

import pytest

from batch_endpoints.environments.interpreters import find_interpreter


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The cache that jobs of this test use."""
    monkeypatch.setenv("BATCH_ENDPOINTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def find():
    """Finds interpreters as a job does, and lets go of them when the test ends."""
    with ExitStack() as found:
        yield lambda *asked: found.enter_context(closing(find_interpreter(*asked)))


@pytest.fixture
def without_index(tmp_path, monkeypatch):
    """A node that can install nothing, not even pyarrow."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "nothing-cached"))
