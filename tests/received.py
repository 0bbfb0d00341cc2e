"""A reply as a host sends it, and what the worker makes of it: for tests without a process between them."""

import json

from batch_endpoints.scoring import replies
from batch_endpoints.scoring.contract import scored_files


def received(header, payload=b"", items=("a",), rows=None):
    """A header and payload, as the reply to ``run`` of these items, or of so many rows."""
    request = {"op": "run", "number": 1, **({"paths": list(items)} if rows is None else {"rows": rows})}
    return replies.read_reply(json.dumps({**header, "number": 1}).encode(), payload, request)


def read_reply(header, payload, items):
    """What it means."""
    return scored_files(received(header, payload, items), items)
