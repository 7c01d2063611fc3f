"""A certificate authority and what it signs, as the PEM files that users have."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import trustme

from snakemq.link import SSLConfig


class Authority:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
