"""The express lane to the wire, for a message that comes alone."""

from __future__ import annotations

import contextlib

from snakemq.exceptions import NoConnection
from snakemq.link import Abilities
from snakemq.message import Message
from snakemq.message._headers import NO_HEADERS
from snakemq.packeter import Packeter

from .._wire import _frames as frames
from .._wire._conversation import Conversation
from .._wire._phases import Phase
from ._lane import OutgoingLane
from ._packing import PACKET_OVERHEAD, pack_with_headers
from ._queue._queue import OutgoingQueue
from ._reports import Reports

MAX_EXPRESS_SIZE = 16 * 1024
"""The most bytes of data and headers that are sent at once: they are copied into one packet."""

MAX_CHAIN = 16
"""How many messages are sent to one peer before the others have their turn, if each is sent by the
callback for the one before it."""


class ExpressLane:
    """Sends one message at a time, at once or not at all, to peers that acknowledge.

    Calls, replies, and messages sent in response to ``on_message_sent`` usually travel alone. Here
    such a message takes 3 µs, with the report that the system has it; through the queue it takes 9.
    But it is a system call for each message. What is refused here has to go through the queue.

    For the thread that runs the loop, except :meth:`send_from_any_thread`.
    """

    def __init__(self, packeter: Packeter, reports: Reports) -> None:
        self.max_size = MAX_EXPRESS_SIZE
        self._packeter = packeter
        self._link = packeter.link
        self._time = packeter.link.time
        abilities = Abilities(packeter.link)
        self._borrow = abilities.borrow
        self._give_back = abilities.give_back
        self._reports = reports
        self._on_message_sent = reports.on_message_sent
        self._receipts = reports.receipts
        self._is_sending = False
        """True between the books and the wire, where a signal handler must not send."""

    def send_from_any_thread(self, message: Message, queue: OutgoingQueue) -> bool:
        """Send a message if it can be done at once; True if it is on its way. Thread-safe.

        It can if the loop sleeps or runs in this thread, and nothing else has to be sent first.
        Never waits.
        """
        try:
            return self._borrow() and self._send_now(message, queue)
        finally:
            # Even if borrow() has refused: Ctrl-C can come before its answer is known. In a context
            # manager it could come before this call.
            try:  # noqa: SIM105
                self._give_back()
            except RuntimeError:
                pass  # it was not borrowed

    def _send_now(self, message: Message, queue: OutgoingQueue) -> bool:
        """Send while this thread runs the loop or has borrowed it; True if it is on its way."""
        lane = queue.lane
        if (
            lane is None  # the peer has gone since the queue was looked up
            or lane.is_held
            or lane.conversation.has_more_to_handle  # there may be more to answer
            or queue.incoming
            or self._on_message_sent.callbacks  # which are called by the loop, not from in here
        ):
            return False
        message.queued_at = now = self._time()
        message.position = None
        try:
            if not self._send(lane, queue, message, now):
                return False
        except BaseException:
            self._give_up(lane.conversation)
            raise
        return True

    def serve(self, lane: OutgoingLane, queue: OutgoingQueue) -> bool:
        """Send the only message that has come in, and each one that ``on_message_sent`` sends next.

        False if something has to go through the queue.
        """
        incoming = queue.incoming
        if len(incoming) != 1:
            return False
        for _ in range(MAX_CHAIN):
            message = incoming.popleft()
            try:
                is_sent = self._send(lane, queue, message, self._time())
            except BaseException:
                self._give_up(lane.conversation)
                if message not in queue.in_flight:
                    incoming.appendleft(message)
                raise
            if not is_sent:
                incoming.appendleft(message)
                return False
            if lane.unsent or not (self._on_message_sent.callbacks or self._receipts.are_held):
                break
            self._reports.sent(lane, queue, [message])
            if len(incoming) != 1 or queue.lane is not lane:
                break
        return len(incoming) <= 1

    def _send(self, lane: OutgoingLane, queue: OutgoingQueue, message: Message, now: float) -> bool:
        """Enter a message into the books and send it. False if it has to go through the queue."""
        data = message.data
        size = message.queued_size
        headers = message.fixed_headers
        conversation = lane.conversation
        features = conversation.features
        ttl = message.ttl
        if (
            features is None
            or not conversation.acks
            or self._is_sending
            or size > self.max_size
            or size > conversation.largest_message
            # copy of is_expired() for one that is not stored: the call would take 1 % of a chain
            # of messages
            or (ttl and message.queued_at + ttl <= now)
            or (headers is not NO_HEADERS and not conversation.takes_headers)
        ):
            return False
        # First in the books: Ctrl-C from here on costs the connection, and what is in flight then
        # is dropped or sent again, as it should be.
        try:
            self._is_sending = True
            if not queue.launch(message, features.window_messages, features.window_bytes):
                return False
            if ttl is None:
                seconds = frames.INFINITE_TTL
            else:
                seconds = frames.ttl_left(ttl, now - message.queued_at, conversation.acks)
            if headers is NO_HEADERS:
                head = frames.pack_message_packet(
                    frames.MESSAGE_HEADER_SIZE + len(data),
                    frames.FRAME_TYPE_MESSAGE,
                    message.uuid,
                    seconds,
                    message.flags,
                )
            else:
                head = pack_with_headers(message, seconds)
            packet = head + data
            sent = self._packeter.send_framed_at_once(conversation.conn_id, packet)
        except Exception:  # the connection ends right now, for example
            sent = None  # whatever it is, the queue will meet it too
        finally:
            self._is_sending = False
        if sent is None:
            queue.recall()
            return False
        # copy of Sender._send(), for the books of a single message
        packet_id, is_taken_over = sent
        if is_taken_over:
            lane.sent += 1
        else:
            lane.unsent.append((packet_id, packet_id))
        counters = lane.counters
        counters.sent += 1
        counters.sent_bytes += len(packet) - PACKET_OVERHEAD
        if lane.round_trip_probe is None:
            lane.round_trip_probe = (lane.acked + len(queue.in_flight), now)
        return True

    def _give_up(self, conversation: Conversation) -> None:
        """Close a connection after Ctrl-C in the middle of a send, as it may have sent a part."""
        with contextlib.suppress(NoConnection):
            self._packeter.stop_sending(conversation.conn_id)

        def close() -> None:
            if conversation.phase is not Phase.CLOSED:
                self._link.close(conversation.conn_id)

        self._link.call_later(0.0, close)
