"""Certificates for TLS on this machine: a small authority of the home, and the server's certificate by it.

Clients trust the authority's certificate, which stays the same for years; the server gets a new one at every start,
for the names that it is called by.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_DAYS, _SERVER_DAYS = 3650, 397  # clients refuse a server's that holds longer


@dataclass(frozen=True)
class Certificates:
    """Files in PEM.

    Args:
        authority: what clients trust.
        certificate: the server's.
        key: of the server's, for its owner alone.
    """

    authority: Path
    certificate: Path
    key: Path


def certificates_in(folder: Path) -> Certificates:
    """Where they are, made or not."""
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")


def make_certificates(folder: Path, names: Iterable[str], now: datetime) -> Certificates:
    """Make the server's certificate, and the authority's where there is none that holds long enough.

    Args:
        folder: entered by its owner alone.
        names: host names and addresses that the server is called by.
        now: UTC.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = certificates_in(folder)
    authority, authority_key = _authority(files.authority, folder / "ca-key.pem", now)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [_alternative(name) for name in dict.fromkeys(names)]
    built = (
        _builder(_named("batch-endpoints server"), authority.subject, key, now, _SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    _write(files.key, _private(key))
    _write(files.certificate, built.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return files


def _authority(file: Path, key_file: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    if file.exists() and key_file.exists():
        known = x509.load_pem_x509_certificate(file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        if known.not_valid_after_utc > now + timedelta(days=_SERVER_DAYS):
            return known, key
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named("batch-endpoints authority of this home")
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    built = (
        _builder(subject, subject, key, now, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    made = built.sign(key, hashes.SHA256())
    _write(key_file, _private(key))
    _write(file, made.public_bytes(serialization.Encoding.PEM))
    return made, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=days))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, content: bytes) -> None:
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writing:
        writing.write(content)
    aside.replace(file)
