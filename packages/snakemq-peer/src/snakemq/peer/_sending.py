"""Sending: from what users give to a message, and on to messaging."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Dropped, Messaging, Receipt, ReceiptState, Unconfirmed

from ._codecs import CONTENT_TYPE, Codecs

CALL_PREFIXES = (b"rpcreq", b"rpcrep")
"""How messages of remote calls begin.

copy of REQUEST_PREFIX and REPLY_PREFIX of snakemq.rpc, which may not be installed"""

STORE_TIMEOUT = 60.0
"""Seconds that a sender waits for the storage."""


class Terms(NamedTuple):
    """How a message is to be sent, see :meth:`Peer.send`."""

    ttl: float | None = None
    persistent: bool | None = None
    codec: str | None = None
    headers: Mapping[str, str] | None = None
    wait: bool = True


class Outgoing:
    """Makes messages and sends them. Thread-safe."""

    def __init__(self, messaging: Messaging, codecs: Codecs) -> None:
        self._messaging = messaging
        self._codecs = codecs
        self._link = messaging.packeter.link
        self._keeps = messaging.queues_storage is not None

    def send(self, ident: str, value: Any, terms: Terms) -> Receipt:
        """See :meth:`Peer.send`."""
        message = self.message(value, terms)
        receipt = self._messaging.post(ident, message)
        if terms.wait:
            self._wait_until_stored(message, [receipt])
        return receipt

    def broadcast(self, idents: Iterable[str], value: Any, terms: Terms) -> dict[str, Receipt]:
        """See :meth:`Peer.broadcast`. The value is encoded once."""
        first = self.message(value, terms)
        receipts = {
            ident: self._messaging.post(
                ident, Message(first.data, first.ttl, first.flags, None, first.headers)
            )
            for ident in idents
        }
        if terms.wait:
            self._wait_until_stored(first, receipts.values())
        return receipts

    def is_kept(self, message: Message) -> bool:
        """Is it to be put into a storage?"""
        return self._keeps and bool(message.flags & FLAG_PERSISTENT)

    def _wait_until_stored(self, message: Message, receipts: Iterable[Receipt]) -> None:
        """Wait until a persistent message is in the storage, for each of these peers."""
        if not self.is_kept(message) or self._link.in_loop():
            return
        for receipt in receipts:
            with suppress(Dropped, Unconfirmed):  # the receipt tells, and callbacks have been told
                receipt.wait(STORE_TIMEOUT, until=ReceiptState.QUEUED)

    def message(self, value: Any, terms: Terms) -> Message:
        """Make a message. Raises ``TypeError``, ``ValueError``, and what the codec raises."""
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
