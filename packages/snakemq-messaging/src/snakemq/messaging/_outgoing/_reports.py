"""Reports to the user about the messages that he has sent."""

from __future__ import annotations

from collections.abc import Iterable

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


class Reports:
    """Calls the callbacks for outgoing messages. For the loop only.

    Call it once the books are closed: a callback may close the connection.
    """

    def __init__(self, events: Events) -> None:
        self.on_message_sent: Callback[[str, str, bytes]] = Callback()
        self.on_message_delivered: Callback[[str, str, bytes]] = Callback()
        self.on_message_drop: Callback[[str, bytes]] = Callback()
        self.on_message_dropped: Callback[[str, Message, DropReason, str]] = Callback()
        self.on_send_progress: Callback[[str, str, bytes, int, int]] = Callback()
        self._events = events

    def tell(
        self,
        callback: Callback[[str, str, bytes]],
        lane: OutgoingLane,
        queue: OutgoingQueue,
        messages: Iterable[Message],
    ) -> None:
        """Call ``on_message_sent`` or ``on_message_delivered`` for each of these messages."""
        if callback.callbacks:
            conn_id = lane.conversation.conn_id
            for message in messages:
                self._events.call(conn_id, callback, conn_id, queue.ident, message.uuid)

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
        """Call ``on_message_drop`` and ``on_message_dropped``."""
        self._events.call(None, self.on_message_drop, ident, message.uuid)
        if self.on_message_dropped.callbacks:
            self._events.call(None, self.on_message_dropped, ident, message, reason, detail)

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
