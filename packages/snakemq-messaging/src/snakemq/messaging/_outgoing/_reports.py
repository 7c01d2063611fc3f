"""Reports to the user about the messages that he has sent."""

from __future__ import annotations

from collections.abc import Sequence

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQMessageTooLarge
from snakemq.message import Message
from snakemq.message._stack import size_of

from .._events import Events
from .._stats import DropReason
from .._wire import _frames as frames
from .._wire._conversation import Conversation
from ._lane import OutgoingLane
from ._queue._queue import OutgoingQueue
from ._receipts import Receipts


class Reports:
    """Calls the callbacks for outgoing messages. For the loop only.

    Call it once the books are closed: a callback may close the connection.
    """

    def __init__(self, events: Events, receipts: Receipts) -> None:
        self.on_message_sent: Callback[[str, str, bytes]] = Callback()
        self.on_message_delivered: Callback[[str, str, bytes]] = Callback()
        self.on_message_drop: Callback[[str, bytes]] = Callback()
        self.on_message_dropped: Callback[[str, Message, DropReason, str]] = Callback()
        self.on_send_progress: Callback[[str, str, bytes, int, int]] = Callback()
        self.on_room: Callback[[str]] = Callback()
        self.receipts = receipts
        self._events = events

    def sent(self, lane: OutgoingLane, queue: OutgoingQueue, messages: Sequence[Message]) -> None:
        """Report that the system has taken over these messages.

        While neither ``on_message_sent`` has callbacks nor :attr:`Receipts.are_held` is true,
        ``messages`` may be left out.
        """
        if self.receipts.are_held:
            self.receipts.sent(queue.ident, messages, is_end=not lane.conversation.acks)
        if self.on_message_sent.callbacks:
            conn_id = lane.conversation.conn_id
            for message in messages:
                self._events.call(conn_id, self.on_message_sent, conn_id, queue.ident, message.uuid)

    def delivered(
        self, lane: OutgoingLane, queue: OutgoingQueue, messages: Sequence[Message]
    ) -> None:
        """Report that the peer has processed these messages."""
        if self.receipts.are_held:
            self.receipts.delivered(queue.ident, messages)
        if self.on_message_delivered.callbacks:
            conn_id = lane.conversation.conn_id
            for message in messages:
                self._events.call(
                    conn_id, self.on_message_delivered, conn_id, queue.ident, message.uuid
                )

    def progress(
        self, lane: OutgoingLane, queue: OutgoingQueue, uuid: bytes, arrived: int, size: int
    ) -> None:
        """Call ``on_send_progress``."""
        conn_id = lane.conversation.conn_id
        self._events.call(
            conn_id,
            self.on_send_progress,
            *(conn_id, queue.ident, uuid, arrived, size),
        )

    def dropped(self, ident: str, message: Message, reason: DropReason, detail: str) -> None:
        """Report that a message will not be sent, or not again."""
        # One that was not queued has a receipt that says so. A message with its uuid may be queued.
        if self.receipts.are_held and reason is not DropReason.NOT_QUEUED:
            self.receipts.dropped(ident, message.uuid, reason, detail)
        self._events.call(None, self.on_message_drop, ident, message.uuid)
        if self.on_message_dropped.callbacks:
            self._events.call(None, self.on_message_dropped, ident, message, reason, detail)

    def has_room(self, ident: str) -> None:
        """Call ``on_room``."""
        self._events.call(None, self.on_room, ident)

    def too_large(self, conversation: Conversation, ident: str, message: Message) -> None:
        """Report by ``on_error`` a message that is larger than its peer takes."""
        assert conversation.features is not None
        becomes = "dropped, as its ttl is 0" if message.ttl == 0 else "kept for its next connection"
        error = SnakeMQMessageTooLarge(
            f"{ident!r} takes packets of up to {conversation.features.max_packet_size} bytes,"
            f" message {message.uuid.hex()} needs"
            f" {frames.MESSAGE_HEADER_SIZE + size_of(message)}: it is {becomes}"
        )
        self._events.report(conversation.conn_id, error)
