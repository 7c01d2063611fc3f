"""Sending: from what users give to a message, and on to messaging."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, Receipt

from ._codecs import CONTENT_TYPE, Codecs

CALL_PREFIXES = (b"rpcreq", b"rpcrep")
"""How messages of remote calls begin.

copy of REQUEST_PREFIX and REPLY_PREFIX of snakemq.rpc, which may not be installed"""


class Terms(NamedTuple):
    """How a message is to be sent, see :meth:`Peer.send`."""

    ttl: float | None = None
    persistent: bool | None = None
    codec: str | None = None
    headers: Mapping[str, str] | None = None


class Outgoing:
    """Makes messages and sends them. Thread-safe."""

    def __init__(self, messaging: Messaging, codecs: Codecs) -> None:
        self._messaging = messaging
        self._codecs = codecs
        self._keeps = messaging.queues_storage is not None

    def send(self, ident: str, value: Any, terms: Terms) -> Receipt:
        """See :meth:`Peer.send`."""
        return self._messaging.post(ident, self._message(value, terms))

    def broadcast(self, idents: Iterable[str], value: Any, terms: Terms) -> dict[str, Receipt]:
        """See :meth:`Peer.broadcast`. The value is encoded once."""
        first = self._message(value, terms)
        return {
            ident: self._messaging.post(
                ident, Message(first.data, first.ttl, first.flags, None, first.headers)
            )
            for ident in idents
        }

    def _message(self, value: Any, terms: Terms) -> Message:
        data, content_type = self._codecs.encode(value, terms.codec)
        if data.startswith(CALL_PREFIXES):
            raise ValueError(
                f"data must not begin with {data[:6]!r}: every peer takes that for a remote call"
            )
        headers = terms.headers
        if content_type is not None:
            headers = {CONTENT_TYPE: content_type, **(headers or {})}
        persistent = self._keeps if terms.persistent is None else terms.persistent
        return Message(data, terms.ttl, FLAG_PERSISTENT if persistent else 0, None, headers)
