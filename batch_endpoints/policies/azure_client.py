"""What the server and the command line agree on for Azure's client: addresses, and the secret of the token route."""

from __future__ import annotations

import hashlib
import hmac

METADATA, TOKEN = "/metadata/endpoints", "/metadata/identity/token"
"""Where the client finds the description of its cloud, and its tokens."""
ML_AUDIENCE = "https://ml.azure.local"
"""The audience that the client makes of our cloud's portal, ``https://portal.batch.local/``."""


def identity_secret(token: str) -> str:
    """What a client has to send to the token route: ``azure env`` prints it.

    It is made from the server's token, so it changes with that one, and whoever has that one knows it.
    """
    return hmac.new(token.encode(), b"azure identity", hashlib.sha256).hexdigest()
