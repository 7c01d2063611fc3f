"""The result of an authentication. See :class:`Identity`."""

from enum import Enum
from typing import NamedTuple


class Proof(Enum):
    """How a peer has proven its ident."""

    CLAIM = "claim"
    """Not at all: it says so, and there is no authenticator to ask."""
    CERTIFICATE = "certificate"
    """By a certificate that names it, signed by an authority of one's own."""
    FINGERPRINT = "fingerprint"
    """By the key of a certificate that is known itself."""
    UNIX_USER = "unix user"
    """By the user of its process, which the system names for the other end of a Unix socket."""
    PRE_SHARED_KEY = "pre-shared key"
    """By a secret that both sides know."""
    OTHER = "other"
    """By the means of an authenticator that is not ours."""


class Identity(NamedTuple):
    """Who a peer is, and how that was proven. Immutable, so any thread may read it.

    An authenticator makes one for each connection; it holds until the connection ends.
    """

    ident: str
    domain: str = ""
    """The domain that vouches for the ident, such as the trust domain of a SPIFFE id; empty if
    none is known."""
    proven: Proof = Proof.OTHER
    names: frozenset[str] = frozenset()
    """The names that the proof gives the peer: those in its certificate, with their kinds, such
    as ``"URI:spiffe://corp.example/bob"``, its user, such as ``"uid:1000"``, or its key,
    ``"psk:bob"``."""
    fingerprint: str | None = None
    """SHA-256 of the peer's certificate, 64 hexadecimal digits in lower case; ``None`` if it has
    shown none."""
    address: str = ""
    """The address of the other end, for people: ``"192.0.2.1:40312"``, or ``"unix"``. Empty if
    the link does not tell it."""

    @property
    def is_proven(self) -> bool:
        """False if the ident is only what the peer says."""
        return self.proven is not Proof.CLAIM
