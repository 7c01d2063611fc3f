"""Secrets that both sides know."""

from __future__ import annotations

from collections.abc import Mapping

from snakemq.exceptions import NotProven
from snakemq.link import PeerCredentials

from ._identity import Identity, Proof


class PreSharedKeys:
    """Admits a peer that has proven, in the TLS handshake, to know the key of its ident. Needs
    Python 3.13 or newer, and no certificates.

    ``keys``: for each ident, the key that this side shares with that peer, as in the ``psk`` of
    :class:`~snakemq.link.SSLConfig`. Each pair of peers needs a key of its own: who knows a key can
    be either of the two. Make them by ``secrets.token_bytes(32)``.

    Raises ``TypeError`` and ``ValueError`` for something that is not a key, for two idents with one
    key, and with older versions of Python.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        import ssl  # not for those who do without TLS

        if not getattr(ssl, "HAS_PSK", False):
            raise ValueError("TLS with pre-shared keys needs Python 3.13 or newer")
        for ident, key in keys.items():
            if not isinstance(key, bytes):
                raise TypeError(f"the key of {ident!r} must be bytes, not {type(key).__name__}")
            if not key:
                raise ValueError(f"the key of {ident!r} is empty")
        if len(set(keys.values())) < len(keys):
            raise ValueError("two idents have the same key, so it proves neither")
        self._keys = dict(keys)

    def check(self, claimed: str, connection: PeerCredentials) -> Identity:
        """See :meth:`Authenticator.check`."""
        if connection.psk_identity is None:
            raise NotProven("its connection has no pre-shared key")
        key = self._keys.get(claimed)
        if key is None or not connection.knows_key(key):
            raise NotProven("it has proven to know another key")
        return Identity(claimed, proven=Proof.PRE_SHARED_KEY, names=frozenset((f"psk:{claimed}",)))

    def __repr__(self) -> str:
        return f"<PreSharedKeys of {', '.join(map(repr, self._keys))}>"
