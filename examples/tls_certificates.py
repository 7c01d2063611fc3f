"""Makes keys and certificates for peers, signed by an authority that is made here as well.

    pip install cryptography
    python tls_certificates.py [FOLDER] [NAME ...]
    python tls_certificates.py --self-signed [FOLDER] [NAME ...]

Writes NAME.key and NAME.crt to FOLDER (certs) for each peer (listener and connector), and root.crt,
the authority. With --self-signed each certificate stands for itself, and there is no authority.

A certificate names its peer by the URI spiffe://corp.example/NAME, for CertificateIdents, and this
machine by the names localhost and 127.0.0.1, for check_hostname. The key of the authority is thrown
away: to add a peer, make all of them anew. In production, keep it where only you can sign.
"""

import argparse
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

URI = "spiffe://corp.example/{}"
DAYS = 90


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool = False,
) -> bytes:
    """Return a certificate in PEM."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    )
    if not is_authority:
        names = [
            x509.UniformResourceIdentifier(URI.format(name)),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only this user can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def main(folder: Path, names: list[str], self_signed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    root_key = ec.generate_private_key(ec.SECP256R1())
    if not self_signed:
        root = certificate("example root", root_key, "example root", root_key, is_authority=True)
        (folder / "root.crt").write_bytes(root)
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, issuer_key = (name, key) if self_signed else ("example root", root_key)
        write_secret(
            folder / f"{name}.key",
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )
        (folder / f"{name}.crt").write_bytes(certificate(name, key, issuer, issuer_key))
    print(f"written to {folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=Path("certs"))
    parser.add_argument("names", nargs="*", default=["listener", "connector"])
    parser.add_argument("--self-signed", action="store_true")
    given = parser.parse_args()
    main(given.folder, given.names, given.self_signed)
