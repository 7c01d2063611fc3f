"""The result of an authentication. See :class:`Identity`."""

from enum import Enum
from typing import NamedTuple


class Proof(Enum):
    """How a peer has proven its ident."""

    CLAIM = "claim"
    """Not at all: it says so, and there is no authenticator to ask."""
    CERTIFICATE = "certificate"
    """It has a certificate that names it, signed by an authority of one's own."""
    FINGERPRINT = "fingerprint"
    """It has a certificate that is known itself, and its key."""
    UNIX_USER = "unix user"
    """Its process belongs to a certain user, as the system says of a Unix socket."""
    PRE_SHARED_KEY = "pre-shared key"
    """It knows a secret that only the two sides know."""
    OTHER = "other"
    """An authenticator that is not ours has decided it."""


class Identity(NamedTuple):
    """Tells who a peer is, and how that was proven. Immutable, so any thread may read it.

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
