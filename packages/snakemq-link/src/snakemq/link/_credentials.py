"""What the transport of a connection proves about the peer. Plain values.

Plain classes, too: the import of this module must take next to no time. A ``NamedTuple`` compiles
its constructor, and ``dataclasses`` imports ``inspect``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


class CertificateCheck(enum.Enum):
    """What this side of a connection checks the certificate of the peer against."""

    NONE = "nothing: no TLS, or a certificate is neither demanded nor checked"
    CONTEXT = "what an SSLContext of the user's own trusts, which may be all the system trusts"
    CA_CERTS = "the authorities in ca_certs of SSLConfig, and no others"


class _Record:
    """Named values. Two records are equal if all of them are. They have no hash, as some values."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({values})"


class UnixCredentials(_Record):
    """The process at the other end of a Unix socket, as the system tells it.

    They are those of the moment at which the peer connected, or began to listen. The process may
    have ended since, and another one may have its number. A user whom the user namespace of this
    process does not know has the number 65534, so that number proves nothing.
    """

    __slots__ = ("gid", "pid", "uid")

    def __init__(self, *, pid: int, uid: int, gid: int) -> None:
        self.pid: Final[int] = pid
        self.uid: Final[int] = uid
        self.gid: Final[int] = gid


class PeerCredentials(_Record):
    """What the transport proves about the peer of one connection; without arguments, nothing.

    Get it from :meth:`CredentialsLink.peer_credentials`. Do not change it.

    - ``address``: the address of the peer, as the socket module gives it.
    - ``dialled``: the address of the connector, as :meth:`Link.add_connector` returned it; ``None``
      if the peer dialled.
    - ``expected_ident``: the ``ident`` that :meth:`Link.add_connector` was given. The layers above
      must talk to nobody else on this connection. ``None``: to anybody.
    - ``is_tls``: True over TLS.
    - ``checked_against``: what a certificate of the peer is checked against, even if the peer has
      not shown any.
    - ``certificate``: the certificate that the peer has shown, in DER, without its chain. Nobody
      has checked it unless :attr:`is_verified`.
    - ``certificate_fields``: the fields of a certificate that was checked, see
      :meth:`ssl.SSLSocket.getpeercert`; empty if it was not.
    - ``psk_identity``: the identity of the pre-shared key: the peer's at a listener, our own at a
      connector.
    - ``psk_key_digest``: the SHA-256 of the pre-shared key that both sides have proven to know.
    - ``unix``: the process at the other end of a Unix socket; ``None`` on systems other than Linux.
    """

    __slots__ = (
        "address",
        "certificate",
        "certificate_fields",
        "checked_against",
        "dialled",
        "expected_ident",
        "is_tls",
        "psk_identity",
        "psk_key_digest",
        "unix",
    )

    def __init__(
        self,
        *,
        address: object = None,
        dialled: tuple[str, int] | str | None = None,
        expected_ident: str | None = None,
        is_tls: bool = False,
        checked_against: CertificateCheck = CertificateCheck.NONE,
        certificate: bytes | None = None,
        certificate_fields: Mapping[str, Any] = _NO_FIELDS,
        psk_identity: str | None = None,
        psk_key_digest: bytes | None = None,
        unix: UnixCredentials | None = None,
    ) -> None:
        self.address: Final[object] = address
        self.dialled: Final[tuple[str, int] | str | None] = dialled
        self.expected_ident: Final[str | None] = expected_ident
        self.is_tls: Final[bool] = is_tls
        self.checked_against: Final[CertificateCheck] = checked_against
        self.certificate: Final[bytes | None] = certificate
        self.certificate_fields: Final[Mapping[str, Any]] = certificate_fields
        self.psk_identity: Final[str | None] = psk_identity
        self.psk_key_digest: Final[bytes | None] = psk_key_digest
        self.unix: Final[UnixCredentials | None] = unix

    @property
    def is_verified(self) -> bool:
        """True if the peer has shown a certificate, and an authority that this side trusts has
        signed it: see :attr:`checked_against`."""
        return self.certificate is not None and self.checked_against is not CertificateCheck.NONE

    @property
    def fingerprint(self) -> str | None:
        """The SHA-256 of the certificate as 64 hexadecimal digits in lower case, without colons;
        ``None`` without a certificate."""
        if self.certificate is None:
            return None
        import hashlib

        return hashlib.sha256(self.certificate).hexdigest()

    def knows_key(self, key: bytes) -> bool:
        """Return True if the peer has proven in the TLS handshake that it knows this pre-shared
        key. It does not matter which side dialled. Takes the same time for any key."""
        if self.psk_key_digest is None:
            return False
        import hashlib
        import hmac

        return hmac.compare_digest(hashlib.sha256(key).digest(), self.psk_key_digest)
