"""A certificate authority and what it signs, as the PEM files that users have."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from snakemq.link import SSLConfig


class Authority:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lists = 0
        self.authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.ca_certs = str(folder / "root.crt")
        self.authority.cert_pem.write_to_path(self.ca_certs)

    def issue(self, *names: str, not_after: datetime | None = None) -> tuple[str, str]:
        """Make the files with the key and with the certificate of a peer."""
        keyfile = self.folder / f"{'-'.join(names)}.key"
        certfile = keyfile.with_suffix(".crt")
        if not keyfile.exists():
            certificate = self.authority.issue_cert(
                *names, key_type=trustme.KeyType.ECDSA, not_after=not_after
            )
            certificate.private_key_pem.write_to_path(keyfile)
            certificate.cert_chain_pems[0].write_to_path(certfile)
        return str(keyfile), str(certfile)

    def config(self, *names: str, **settings: Any) -> SSLConfig:
        """Make the settings of mutual TLS that the documentation shows, for a peer."""
        keyfile, certfile = self.issue(*names)
        mutual: dict[str, Any] = {"ca_certs": self.ca_certs, "cert_reqs": ssl.CERT_REQUIRED}
        return SSLConfig(keyfile, certfile, **(mutual | settings))

    def revocation_list(self, *certfiles: str, until: datetime | None = None) -> bytes:
        """Revoke certificates; returns the PEM of the list, which is valid for a day.

        Each list is newer than the ones before: of two, OpenSSL believes the newer one.
        """
        self._lists += 1
        now = datetime.now(UTC)
        authority = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        revocations = x509.CertificateRevocationListBuilder(
            issuer_name=authority.subject,
            last_update=now - timedelta(days=2) + timedelta(minutes=self._lists),
            next_update=until or now + timedelta(days=1),
        )
        for certfile in certfiles:
            certificate = x509.load_pem_x509_certificate(Path(certfile).read_bytes())
            revoked = x509.RevokedCertificateBuilder(certificate.serial_number, now)
            revocations = revocations.add_revoked_certificate(revoked.build())
        key = load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        return revocations.sign(key, SHA256()).public_bytes(Encoding.PEM)
