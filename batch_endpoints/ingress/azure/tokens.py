"""The server as an issuer of tokens, for Azure's clients: JWTs signed by it, with the audience that was asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "batch-endpoints"
SECONDS = 24 * 3600
_ALGORITHM = "ES256"
_USE = "client"


def signing_key(file: Path | None) -> ec.EllipticCurvePrivateKey:
    """The key that the server's tokens are signed with; a new one where there is none.

    Args:
        file: kept there for its owner alone, so that tokens outlive a restart; None keeps it in memory.
    """
    if file is None:
        return ec.generate_private_key(ec.SECP256R1())
    if not file.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        aside = file.with_name(f"{file.name}.{os.getpid()}")
        aside.unlink(missing_ok=True)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writing:
            writing.write(pem)
        aside.replace(file)
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


class Issuer:
    """Makes the tokens of Azure's clients, and knows them again."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, clock: Callable[[], float]) -> None:
        """Args:
        key: signs them.
        clock: seconds since the epoch.
        """
        self._key, self._public, self._clock = key, key.public_key(), clock

    def issue(self, audience: str, principal: str) -> tuple[str, int]:
        """A new token.

        Returns: it, and when it expires, in seconds since the epoch.
        """
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": principal,
            "use": _USE,
            "tid": ISSUER,
            "iat": now,
            "exp": now + SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM), now + SECONDS

    def principal(self, token: str, audiences: tuple[str, ...]) -> str:
        """Who a token was made for; "" where it is none of ours, has expired, or is for another use or audience."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=[_ALGORITHM],
                issuer=ISSUER,
                options={"require": ["exp", "sub", "aud", "use"], "verify_aud": False, "verify_exp": False},
            )
        except jwt.InvalidTokenError:
            return ""
        audience = str(claims["aud"]).rstrip("/")
        fits = claims["use"] == _USE and audience in audiences and self._clock() < float(claims["exp"])
        return str(claims["sub"]) if fits else ""
