"""Makes keys and certificates for the TLS examples, signed by an invented authority.

    pip install trustme
    python tls_certificates.py [FOLDER]

Writes root.crt, listener.key, listener.crt, connector.key and connector.crt to FOLDER (certs).
Use them to try things out, not in production.
"""

import sys
from pathlib import Path

import trustme


def main(folder: str = "certs") -> None:
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(path / "root.crt")
    for name in ("listener", "connector"):
        certificate = authority.issue_cert("localhost", "127.0.0.1", common_name=name)
        certificate.private_key_pem.write_to_path(path / f"{name}.key")
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(path / f"{name}.crt")
    print(f"written to {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
