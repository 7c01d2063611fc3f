"""Authorities and certificates, as the PEM files that users have: right ones, and wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
WHOLE = timedelta(days=3650)


class Files(NamedTuple):
    """The paths of a private key and of its certificate."""

    key: str
    certificate: str


class Authority:
    """Signs certificates. ``root`` is the path of its own."""

    def __init__(self, folder: Path, name: str = "root") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {name}")])
        certificate = _built(self._subject, self._subject, self._key.public_key(), [], True, DAY)
        self.root = str(folder / f"{name}.crt")
        Path(self.root).write_bytes(
            certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )
        self._count = 0

    def issue(
        self,
        *,
        uris: Sequence[str] = (),
        dns: Sequence[str] = (),
        common_name: str | None = None,
        ends_in: timedelta = DAY,
        self_signed: bool = False,
    ) -> Files:
        """Make a key, and a certificate with these names. ``ends_in``: below zero, it has expired.
        ``self_signed``: it is signed by that key, and not by the authority."""
        self._count += 1
        parts = [] if common_name is None else [(NameOID.COMMON_NAME, common_name)]
        subject = x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            *map(x509.UniformResourceIdentifier, uris),
            *map(x509.DNSName, dns),
        ]
        issuer = subject if self_signed else self._subject
        builder = _built(subject, issuer, key.public_key(), names, False, ends_in)
        certificate = builder.sign(key if self_signed else self._key, hashes.SHA256())
        stem = self._folder / f"{self._name}-{self._count}"
        files = Files(f"{stem}.key", f"{stem}.crt")
        Path(files.key).write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        Path(files.certificate).write_bytes(certificate.public_bytes(Encoding.PEM))
        return files


def _built(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    names: list[x509.GeneralName],
    is_authority: bool,
    ends_in: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now - WHOLE)
        .not_valid_after(now + ends_in)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder
