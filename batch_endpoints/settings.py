"""Process settings: ``BATCH_ENDPOINTS_*``, read once, at the edge.

| variable | default | meaning |
|---|---|---|
| ``BATCH_ENDPOINTS_HOME`` | ``~/.batch-endpoints`` | local database, job folders, uploads, caches |
| ``BATCH_ENDPOINTS_ROOT`` | the home | URI below which job folders are; a store holds the uploads, too |
| ``BATCH_ENDPOINTS_URL`` | ``http://127.0.0.1:8700`` | the server that clients talk to |
| ``BATCH_ENDPOINTS_TOKEN`` | the file ``token`` in the home | bearer token that clients send |
| ``BATCH_ENDPOINTS_TOKEN_FILE`` | | a file that holds it |
| ``BATCH_ENDPOINTS_DATABASE`` | SQLite in the home | SQLAlchemy URL of the records |
| ``BATCH_ENDPOINTS_CACHE`` | ``~/.cache/batch-endpoints`` | interpreters built for deployments, on each node |
| ``BATCH_ENDPOINTS_MAX_RUNNING_JOBS`` | from the head's memory and cores | jobs whose drivers run at the same time |
| ``BATCH_ENDPOINTS_STORE_TIMEOUT`` | 30 | seconds that a store may be silent before it is asked again |

Ray's own ``RAY_memory_usage_threshold`` is respected.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from batch_endpoints.errors import SpecError

DEFAULT_PORT = 8700
_CACHE = "~/.cache/batch-endpoints"
_BEFORE_RAY = 0.95  # it kills its own workers at that threshold, which hosts are not
PRIVATE_UMASK = 0o077  # new folders are 0700 and new files 0600
DRIVER_BYTES = 1 << 30  # a driver holds some 0.2 GiB, and 0.5 more for a plan of a million files


@dataclass(frozen=True)
class Settings:
    """What this process was told by its environment."""

    home: Path
    url: str = ""  # "" where nobody said: the server that `up` started, or the default port
    database: str = ""  # "" means SQLite in the home
    max_running_jobs: int = 0  # 0 means: from the head's memory and cores
    cache: Path = field(default_factory=lambda: Path(_CACHE).expanduser())
    root: str = ""  # "" means the home
    store_timeout_seconds: float = 30.0
    memory_share: float = _BEFORE_RAY * 0.95  # of a node's memory; where more is in use, its largest host is ended
    token: str = field(default="", repr=False)  # what clients send to another server than that of this home
    token_file: Path | None = None  # where it is read where it is not given itself

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{quote(str(self.home / 'records.db'))}"

    @property
    def jobs_root(self) -> str:
        """URI of the folder in which each job gets its own."""
        return f"{self.root or self.home.as_uri()}/jobs"

    @property
    def uploads_root(self) -> str:
        """URI of the folder of uploads: in the home, or beside the jobs where these are in an object store."""
        in_store = self.root and not self.root.startswith("file:")
        return f"{self.root if in_store else self.home.as_uri()}/uploads"

    @property
    def token_at_home(self) -> Path:
        """The file with the token of the server that `up` starts with this home."""
        return self.home / "token"

    @property
    def tls_at_home(self) -> Path:
        """The folder with the authority of this home and the server's certificate by it."""
        return self.home / "tls"

    @property
    def authority_at_home(self) -> Path:
        """The certificate that clients of a server with ``up --tls`` trust."""
        return self.tls_at_home / "ca.pem"

    @property
    def signing_key_at_home(self) -> Path:
        """The file with the key that the server signs tokens of Azure's clients with."""
        return self.home / "signing-key.pem"

    @property
    def ray_token_at_home(self) -> Path:
        """The file with the token of the Ray that `up` starts for it."""
        return self.home / "ray-token"

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read ``BATCH_ENDPOINTS_*``.

        Raises:
            SpecError: a number that is none.
        """
        limit = environment.get("BATCH_ENDPOINTS_MAX_RUNNING_JOBS", "0")
        if not limit.isdecimal():
            raise SpecError(
                f"BATCH_ENDPOINTS_MAX_RUNNING_JOBS is {limit!r}, not a whole number",
                mend="Give the number of jobs that may run at once, or unset it.",
            )
        timeout = environment.get("BATCH_ENDPOINTS_STORE_TIMEOUT") or "30"
        if not re.fullmatch(r"\d+(\.\d+)?", timeout, re.ASCII) or not float(timeout):
            raise SpecError(
                f"BATCH_ENDPOINTS_STORE_TIMEOUT is {timeout!r}, not a number of seconds",
                mend="Give a number such as 30 or 2.5, or unset it.",
            )
        token_file = environment.get("BATCH_ENDPOINTS_TOKEN_FILE")
        home = environment.get("BATCH_ENDPOINTS_HOME") or "~/.batch-endpoints"
        cache = environment.get("BATCH_ENDPOINTS_CACHE") or _CACHE
        return cls(
            home=Path(home).expanduser().absolute(),
            url=environment.get("BATCH_ENDPOINTS_URL", "").rstrip("/"),
            token=environment.get("BATCH_ENDPOINTS_TOKEN", "").strip(),
            token_file=Path(token_file).expanduser().absolute() if token_file else None,
            database=environment.get("BATCH_ENDPOINTS_DATABASE", ""),
            max_running_jobs=int(limit),
            cache=Path(cache).expanduser().absolute(),
            root=_uri(environment.get("BATCH_ENDPOINTS_ROOT", "")),
            store_timeout_seconds=float(timeout),
            memory_share=_BEFORE_RAY * float(environment.get("RAY_memory_usage_threshold") or 0.95),
        )


def _uri(root: str) -> str:
    """A root without a final slash, as a URI; "" stays."""
    if not root or "://" in root:
        return root.rstrip("/")
    return Path(root).expanduser().absolute().as_uri()


def default_max_running_jobs(memory_bytes: int, cores: int) -> int:
    """How many drivers a head carries: half of its memory, and two a core while they start.

    Args:
        memory_bytes: the head's memory.
        cores: the head's CPU cores.
    """
    return max(1, min(memory_bytes // 2 // DRIVER_BYTES, 2 * cores))
