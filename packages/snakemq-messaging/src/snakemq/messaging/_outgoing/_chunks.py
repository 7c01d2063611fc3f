"""Sends large messages in chunks, so that others need not wait for them."""

from __future__ import annotations

from snakemq.message._headers import NO_HEADERS
from snakemq.packeter import Packeter

from .._wire import _cutting as cutting
from .._wire import _frames as frames
from .._wire._conversation import Conversation
from .._wire._headers import encode_headers
from .._wire._window import window_left
from ._lane import OutgoingLane
from ._queue._queue import OutgoingQueue
from ._queue._stages import IN_CHUNKS, LARGE
from ._reports import Reports
from ._stored._deletions import Deletions
from ._turns import Turn, Turns


class ChunkSender:
    """Sends chunks to peers that put them together. For the loop only."""

    def __init__(self, packeter: Packeter, deletions: Deletions, reports: Reports) -> None:
        self.cut_from = cutting.CUT_FROM
        self.max_chunk = cutting.MAX_CHUNK
        self._packeter = packeter
        self._time = packeter.link.time
        self._deletions = deletions
        self._reports = reports

    def place_told(self, queue: OutgoingQueue, place: cutting.Place) -> None:
        """Note how much the peer has of a message that was under way before.

        Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` if there are too many.
        """
        assert queue.lane is not None
        queue.lane.note_place(place)

    def send(self, lane: OutgoingLane, queue: OutgoingQueue) -> None:
        """Send chunks of the large messages of a queue, while few enough are on their way."""
        if lane.is_held or not lane.places_are_known:
            return  # the peer may have a part of them
        turns = lane.turns
        if turns is None:
            turns = lane.begin_turns(self.max_chunk)
        if len(queue.large) > len(turns):
            self._give_turns(lane, turns, queue)
        skipped = 0
        before = turns.sent
        while turns.may_send and skipped < len(turns):
            turn = turns.next()
            if turn.message.stage != IN_CHUNKS:
                self._give_up(lane.conversation, turns, turn)
            elif self._may_send(lane.conversation, turns, queue, turn):
                self._send_chunk(lane, turns, queue, turn)
                skipped = 0
            else:
                skipped += 1
        if turns.sent != before:
            self._packeter.flush(lane.conversation.conn_id)

    def _give_turns(self, lane: OutgoingLane, turns: Turns, queue: OutgoingQueue) -> None:
        while True:
            message = turns.find(m for m in queue.large if m.stage == LARGE)
            if message is None:
                return
            headers = b""
            if message.fixed_headers is not NO_HEADERS:
                if lane.conversation.takes_headers:
                    headers = encode_headers(message.fixed_headers)
                else:
                    lane.counters.headers_left_out += 1
            turns.begin(message, headers)
            queue.large.begin(message)

    def _may_send(
        self, conversation: Conversation, turns: Turns, queue: OutgoingQueue, turn: Turn
    ) -> bool:
        """Is there room in the window? The last chunk needs it, because the message counts from
        then on."""
        if turn.left > turns.pace.chunk:
            return True
        features = conversation.features
        assert features is not None
        messages_left, bytes_left = window_left(
            features.window_messages,
            features.window_bytes,
            len(queue.in_flight),
            queue.in_flight_bytes,
        )
        if queue.has_stored:
            room = self._deletions.room(queue.ident, features.window_messages, len(queue.in_flight))
            messages_left = min(messages_left, room)
        return messages_left > 0 and bytes_left > 0

    def _give_up(self, conversation: Conversation, turns: Turns, turn: Turn) -> None:
        """End the turns of a message that has left the queue, for example because it expired."""
        turns.leave(turn)
        if turn.is_begun:
            self._packeter.send_packet(
                conversation.conn_id, cutting.encode_abort(turn.message.uuid)
            )

    def _send_chunk(
        self, lane: OutgoingLane, turns: Turns, queue: OutgoingQueue, turn: Turn
    ) -> None:
        conn_id = lane.conversation.conn_id
        packeter = self._packeter
        message = turn.message
        now = self._time()
        packet_id = 0
        if not turn.is_begun:
            ttl = message.ttl
            seconds = (
                frames.INFINITE_TTL
                if ttl is None
                else frames.ttl_left(ttl, now - message.queued_at, True)
            )
            frame_type = frames.FRAME_TYPE_MESSAGE
            if turn.size > len(message.data):
                frame_type = frames.FRAME_TYPE_MESSAGE_WITH_HEADERS
            header = frames.pack_message_header(frame_type, message.uuid, seconds, message.flags)
            head = cutting.Head(turn.size, turn.offset, header)
            packet_id = packeter.send_packet(conn_id, cutting.encode_head(head))
            turn.is_begun = True
        size = min(turns.pace.chunk, turn.left)
        if size:
            header = cutting.pack_chunk_header(message.uuid, turn.offset, size)
            packet_id = packeter.send_framed(
                conn_id, [header, *turn.parts(size)], [cutting.CHUNK_PACKET_OVERHEAD + size]
            )
            turns.chunk_sent(turn, size, now)
        if not turn.left:
            turns.leave(turn)
            queue.is_sent_whole(message)
            lane.note_given(packet_id, turn.size, len(queue.in_flight), now)

    def arrived(self, queue: OutgoingQueue, count: int) -> None:
        """Note how many bytes of chunks the peer has got on this connection.

        Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` if that cannot be true.
        """
        lane = queue.lane
        assert lane is not None
        turns = lane.turns if lane.turns is not None else lane.begin_turns(self.max_chunk)
        reached = turns.chunks_arrived(count, self._time())
        if queue.large.bytes or turns:
            self.send(lane, queue)
        if self._reports.on_send_progress.callbacks:
            for turn, offset in reached.items():
                self._reports.progress(lane, queue, turn.message.uuid, offset, turn.size)
