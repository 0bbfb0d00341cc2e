"""How stores say no, worded once for all of them: what is missing, and what there is instead."""

from __future__ import annotations

from collections.abc import Sequence

from batch_endpoints.errors import Conflict, NotFound
from batch_endpoints.interfaces.records import NOUNS, VERSIONED, AssetKind
from batch_endpoints.specs import LOCAL

SHOWN = 10


def no_endpoint(name: str, there: Sequence[str]) -> NotFound:
    return NotFound(f"there is no endpoint '{name}'", mend=_there_are(there))


def no_deployment(endpoint: str, name: str, there: Sequence[str]) -> NotFound:
    return NotFound(f"endpoint '{endpoint}' has no deployment '{name}'", mend=_it_has(there))


def no_asset(kind: AssetKind, name: str, there: Sequence[str]) -> NotFound:
    if kind == "computes":
        there = [*there, LOCAL.name]  # in no store: it is always there
    return NotFound(f"there is no {NOUNS[kind]} '{name}'", mend=_there_are(there))


def no_version(kind: AssetKind, name: str, version: str, there: Sequence[str]) -> NotFound:
    """Args: there: its versions, newest first."""
    mend = _it_has(there) if kind in VERSIONED else f"A {NOUNS[kind]} has no versions: leave it out."
    return NotFound(f"{NOUNS[kind]} '{name}' has no version '{version}'", mend=mend)


def no_job(name: str, newest: Sequence[str]) -> NotFound:
    """Args: newest: names of at most the ``SHOWN`` newest jobs, newest first."""
    mend = f"The newest: {', '.join(newest)}." if newest else "There is none yet."
    return NotFound(f"there is no job '{name}'", mend=mend)


def job_exists(name: str) -> Conflict:
    return Conflict(f"there is a job '{name}' already", mend="Give another name, or none to get one made up.")


def other_body(request_id: str, job: str) -> Conflict:
    return Conflict(
        f"the request id '{request_id}' belongs to another request of this endpoint, which has made job '{job}'",
        mend="Send another id (repeatability_request-id) with another request; the same one repeats a request.",
    )


def _there_are(names: Sequence[str]) -> str:
    return f"There {'is' if len(names) == 1 else 'are'}: {_some(names)}." if names else "There is none yet."


def _it_has(names: Sequence[str]) -> str:
    return f"It has: {_some(names)}." if names else "It has none yet."


def _some(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
