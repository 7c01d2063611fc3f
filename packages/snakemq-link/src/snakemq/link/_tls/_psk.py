"""TLS with pre-shared keys instead of certificates: RFC 8446, section 2.2.

Only TLS 1.3, whose handshake with such a key is still forward secret. Neither side ever has a
certificate, so a handshake that succeeds has proven that both sides know the key.
"""

from __future__ import annotations

import logging
import ssl
import sys
import threading
from collections.abc import Mapping
from typing import TypeAlias

from ._errors import without_source_line

_log = logging.getLogger("snakemq.link")

PSK: TypeAlias = "tuple[str, bytes] | Mapping[str, bytes]"
"""A connector's own identity and key; or a listener's keys, by the identities of its peers."""

_LONGEST_IDENTITY = 128
_SHORTEST_KEY = 16
_LONGEST_KEY = 256
"""Bytes. OpenSSL takes no more, and who records a handshake can try all keys that are short."""


_MEANINGS = {
    "BINDER_DOES_NOT_VERIFY": "the peer has another pre-shared key for its identity",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "the peer has no pre-shared key that this side knows",
    "SSLV3_ALERT_ILLEGAL_PARAMETER": "the other side has another pre-shared key for this identity",
    "TLSV1_ALERT_DECRYPT_ERROR": "the other side has another pre-shared key for this identity",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the other side does not know this pre-shared key",
    "CERTIFICATE_VERIFY_FAILED": "the other side has certificates and no pre-shared keys",
}
"""What some errors mean if only keys are used, by the ``reason`` of the ``SSLError``. OpenSSL 3.6
sends DECRYPT_ERROR where earlier versions send ILLEGAL_PARAMETER."""


class _Handshake(threading.local):
    """The handshake that this thread goes on with. One context serves many connections, and what
    OpenSSL calls is not told which one it is about."""

    used: tuple[str, bytes] | None = None
    """The identity and the digest of the key, once OpenSSL has asked for the key."""


_handshake = _Handshake()


def begin_step() -> None:
    """Go on with the handshake of some connection in this thread."""
    _handshake.used = None


def used_in_step() -> tuple[str, bytes] | None:
    """Return identity and digest of the key that OpenSSL has asked for since, if it has."""
    return _handshake.used


def explain(error: ssl.SSLError) -> None:
    """Let the text of an error say what it means here."""
    meaning = _MEANINGS.get(error.reason)
    if meaning is not None:
        error.strerror = f"{meaning} ({without_source_line(error.strerror or '')})"


def check(psk: object) -> None:
    """Raise ``ValueError`` or ``TypeError`` for what cannot be used."""
    if sys.version_info < (3, 13):
        raise ValueError("TLS with pre-shared keys needs Python 3.13 or newer: use certificates")
    if not ssl.HAS_PSK:
        raise ValueError("the TLS library of this Python has no pre-shared keys: use certificates")
    pairs = psk.items() if isinstance(psk, Mapping) else [psk]
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError("psk must be (identity, key), or a mapping of identities to keys")
        _check_pair(*pair)


def _check_pair(identity: object, key: object) -> None:
    # The texts never quote a key.
    if not isinstance(identity, str) or not isinstance(key, bytes):
        raise TypeError("an identity of a pre-shared key is a str, and the key is bytes")
    if not 0 < len(identity.encode(errors="replace")) <= _LONGEST_IDENTITY or "\0" in identity:
        raise ValueError(
            f"the identity of a pre-shared key has 1 to {_LONGEST_IDENTITY} bytes of UTF-8, none "
            f"of them zero: {identity!r}"
        )
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise ValueError(
            f"the key of {identity!r} has {len(key)} bytes: a pre-shared key must be random and "
            f"have {_SHORTEST_KEY} to {_LONGEST_KEY}, like secrets.token_bytes(32)"
        )


def make_context(psk: PSK, *, server_side: bool) -> ssl.SSLContext:
    """Make a context that only admits peers who know the key.

    Raises ``ValueError`` for keys of the other side.
    """
    if isinstance(psk, Mapping) != server_side:
        raise ValueError(
            "a listener needs the keys of its peers: SSLConfig(psk={identity: key, ...})"
            if server_side
            else "a connector needs its own key: SSLConfig(psk=(identity, key))"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if sys.version_info >= (3, 13):
        if isinstance(psk, Mapping):
            context.set_psk_server_callback(lambda identity: _key_of(identity, psk))
            # A resumed session would not say whose key it began with.
            context.num_tickets = 0
        else:
            identity, key = psk
            context.set_psk_client_callback(lambda hint: _own_key(identity, key))
            context.check_hostname = False
            # And there are no authorities: a server that ignores the key and shows a certificate,
            # whatever certificate that is, must not be taken for one that knows the key.
            context.verify_mode = ssl.CERT_REQUIRED
    return context


def _own_key(identity: str, key: bytes) -> tuple[str, bytes]:
    _note(identity, key)
    return identity, key


def _note(identity: str, key: bytes) -> None:
    import hashlib  # few processes use such keys

    _handshake.used = identity, hashlib.sha256(key).digest()


def _key_of(identity: str | None, keys: Mapping[str, bytes]) -> bytes:
    """Return the key of a peer, or nothing, which ends the handshake."""
    try:
        key = keys.get(identity or "", b"")
        if key:
            _check_pair(identity, key)  # the mapping may have changed since it was checked
            _note(identity or "", key)
    except Exception as exc:  # the mapping is the user's
        _log.warning("cannot look up a pre-shared key: %s", exc)
        return b""
    return key
