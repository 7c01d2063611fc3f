"""Brings replies to their clients: remembers them, sends them, and sends them again."""

from __future__ import annotations

import logging

from snakemq.exceptions import LoopError, QueueFull, SnakeMQMessageTooLarge
from snakemq.message import Message
from snakemq.messaging import Messaging

from ._answers import ReplyWriter
from ._replies import REPLY_OVERHEAD, ReplyMemory
from ._unsent import Unsent

REFUSAL_TTL = 10.0
"""Seconds. The request disconnects the peer, so the answer waits for it to come back."""


class Delivery:
    """Sends replies. Thread-safe, except for methods that say otherwise.

    When the queue of a client is full (:class:`snakemq.messaging.QueueLimits`), a reply is kept and
    sent when there is room.
    """

    def __init__(
        self,
        messaging: Messaging,
        writer: ReplyWriter,
        replies: ReplyMemory,
        log: logging.Logger,
    ) -> None:
        self._messaging = messaging
        self._link = messaging.packeter.link
        self.writer = writer
        self.replies = replies
        self.full = replies.full
        """Clients that seem to have too many unread replies, see :meth:`must_wait`."""
        self._unsent = Unsent(messaging, replies.full)
        self._log = log
        messaging.on_message_drop.add_internal(self._on_message_drop)
        messaging.on_disconnect.add_internal(self._on_disconnect)

    def close(self) -> None:
        self._messaging.on_message_drop.remove(self._on_message_drop)
        self._messaging.on_disconnect.remove(self._on_disconnect)
        self._unsent.close()

    def answer(self, ident: str, req_id: bytes, reply: bytes) -> None:
        """Send the reply to a request that was executed, and remember it."""
        remembered = reply
        if len(reply) > self.replies.max_bytes:
            text = f"the reply got lost, and with {len(reply)} bytes was too long to be remembered"
            remembered = self.writer.error(req_id, text)
        message = Message(reply)
        if self._link.in_loop():
            # Nothing can come in between, so send first: the caller need not wait for the memory.
            try:
                self._send(ident, req_id, message)
            finally:
                self.replies.finish(ident, req_id, remembered, message.uuid, len(reply))
        else:
            # Remember first, then send: a request that is repeated in between gets the reply.
            self.replies.finish(ident, req_id, remembered, message.uuid, len(reply))
            self._send(ident, req_id, message)

    def answer_again(self, ident: str, req_id: bytes, reply: bytes) -> None:
        """Send a remembered reply to a request that was repeated."""
        message = Message(reply)
        self.replies.sent_again(ident, req_id, message.uuid)
        self._send(ident, req_id, message)

    def error(self, ident: str, req_id: bytes, text: str) -> None:
        """End a call with an :exc:`Error` of the server itself, without remembering it."""
        self.refuse(ident, req_id, self.writer.error(req_id, text))

    def refuse(self, ident: str, req_id: bytes, reply: bytes) -> None:
        """End a call that was not begun with a reply that is not remembered."""
        self.replies.sent(ident, len(reply))
        self._send(ident, req_id, Message(reply))

    def busy(self, ident: str, req_id: bytes) -> None:
        """Turn away a call that was begun but not executed: its client may try again."""
        reply = self.writer.busy(req_id)
        self.replies.abandon(ident, req_id, len(reply))
        self._send(ident, req_id, Message(reply))

    def refusal(self, ident: str, uuid: bytes) -> None:
        """Refuse a request that names no call. ``uuid`` is the one of its message."""
        reply = self.writer.error(uuid, "request refused: it names no call, and cannot be decoded")
        self.replies.sent(ident, len(reply))
        self._send(ident, uuid, Message(reply, REFUSAL_TTL))

    def must_wait(self, ident: str) -> bool:
        """Does a client have too many unread replies to get more? For the loop only."""
        if ident not in self.replies.full:
            return False
        return self._unsent.has_any(ident) or not self.replies.look_again(ident)

    def unread_bytes(self, ident: str) -> int:
        """Return how many bytes of messages a client has not taken yet. For the loop only."""
        messages, size = self._messaging.outstanding(ident)
        return size + REPLY_OVERHEAD * messages

    def _send(self, ident: str, req_id: bytes, message: Message) -> None:
        try:
            self._messaging.send_message(ident, message, urgent=True)
        except QueueFull:
            self._unsent.add(ident, message)
        except SnakeMQMessageTooLarge as exc:
            self.error(ident, req_id, f"the reply is too large: {exc}")
        except LoopError as exc:  # nobody is left to tell
            self._log.debug("no reply to %r: %s", ident, exc)

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        self.full.discard(ident)  # or the memory would keep a client that never returns

    def _on_message_drop(self, ident: str, uuid: bytes) -> None:
        if not self._messaging.is_connected(ident):
            return  # it was lost with the connection: the client will repeat its request
        dropped = self.replies.dropped(ident, uuid)
        if dropped is None:
            return
        if dropped.times == 1:
            # It may have been sent while the client was away; then sending it again succeeds.
            self.answer_again(ident, dropped.req_id, dropped.reply)
        elif dropped.times == 2:
            size = len(dropped.reply)
            text = f"the reply of {size} bytes was dropped, the client does not take it"
            self.error(ident, dropped.req_id, text)
