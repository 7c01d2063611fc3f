"""Certificates that are known themselves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Self

from snakemq.exceptions import NotProven
from snakemq.link import PeerCredentials

from ._identity import Identity, Proof

_DIGITS = 64


class Fingerprints:
    """Admits a peer whose certificate has one of the fingerprints that are known for its ident. No
    authority is needed: the certificates may be self-signed.

    ``known``: for each ident, the SHA-256 of its certificates in hexadecimal digits, as
    ``openssl x509 -noout -fingerprint -sha256`` prints them; colons, upper or lower case, and
    ``"sha256:"`` before it make no difference. Give both the old and the new one while a peer
    changes its certificate. What else a certificate says does not matter, its names for example:
    anybody can write any name into a self-signed one.

    A listener gets only certificates that TLS can check, so all of these must be in the file that
    is the ``ca_certs`` of its :class:`~snakemq.link.SSLConfig`: :meth:`of_files` and
    :meth:`write_bundle` take care of both.

    Raises ``TypeError`` and ``ValueError`` for something that is not a fingerprint.
    """

    def __init__(self, known: Mapping[str, Iterable[str]]) -> None:
        self._known: dict[str, frozenset[str]] = {}
        self._bundle: str | None = None
        for ident, fingerprints in known.items():
            if isinstance(fingerprints, str):
                raise TypeError(f"give a set of fingerprints for {ident!r}, not a string")
            self._known[ident] = frozenset(map(_normalised, fingerprints))

    @classmethod
    def of_files(cls, files: Mapping[str, Iterable[str | os.PathLike[str]]]) -> Self:
        """Read the certificates of each ident from PEM files, one or more in each file.

        Raises ``OSError``, and ``ValueError`` for a file without a certificate.
        """
        known: dict[str, set[str]] = {}
        bundle: list[str] = []
        for ident, paths in files.items():
            if isinstance(paths, (str, os.PathLike)):
                raise TypeError(f"give a list of files for {ident!r}, not {paths!r}")
            known[ident] = set()
            for path in paths:
                for pem in _certificates_in(path):
                    known[ident].add(_fingerprint_of(pem))
                    bundle.append(pem)
        made = cls(known)
        made._bundle = "".join(bundle)
        return made

    def write_bundle(self, path: str | os.PathLike[str]) -> str:
        """Write all certificates that :meth:`of_files` has read to one PEM file, and return its
        path, for the ``ca_certs`` of :class:`~snakemq.link.SSLConfig`.

        A file that is there is replaced at once; a link with this ``SSLConfig`` notices that.
        Raises ``OSError``, and ``ValueError`` if there are only fingerprints, or nothing.
        """
        if not self._bundle:
            raise ValueError("there are no certificates: make it by Fingerprints.of_files")
        path = os.fspath(path)
        unfinished = f"{path}.{os.getpid()}.new"
        try:
            with open(unfinished, "w", encoding="ascii") as file:
                file.write(self._bundle)
            os.replace(unfinished, path)
        except OSError:
            if os.path.exists(unfinished):
                os.unlink(unfinished)
            raise
        return path

    def check(self, claimed: str, connection: PeerCredentials) -> Identity:
        """See :meth:`Authenticator.check`."""
        # That it knows the key of the certificate it shows is part of every TLS handshake,
        # whatever is checked otherwise.
        fingerprint = connection.fingerprint
        if fingerprint is None:
            raise NotProven("it has shown no certificate")
        if fingerprint not in self._known.get(claimed, ()):
            raise NotProven("its certificate is not one that is known for this ident")
        return Identity(
            claimed,
            proven=Proof.FINGERPRINT,
            names=frozenset((f"sha256:{fingerprint}",)),
            fingerprint=fingerprint,
        )


def _normalised(fingerprint: str) -> str:
    text = fingerprint.strip().rpartition("=")[2].lower().removeprefix("sha256:").replace(":", "")
    if len(text) != _DIGITS or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"a fingerprint is a SHA-256, {_DIGITS} digits, not {fingerprint!r}")
    return text


def _certificates_in(path: str | os.PathLike[str]) -> list[str]:
    """Return the certificates in a PEM file, without anything else that it may have."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    with open(path, encoding="utf-8") as file:
        parts = file.read().split(begin)[1:]
    if not parts or not all(end in part for part in parts):
        raise ValueError(f"{os.fspath(path)!r} is not a PEM file with a certificate")
    return [f"{begin}{part.partition(end)[0]}{end}\n" for part in parts]


def _fingerprint_of(pem: str) -> str:
    import hashlib  # these two are not for those who do without certificates
    import ssl

    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
