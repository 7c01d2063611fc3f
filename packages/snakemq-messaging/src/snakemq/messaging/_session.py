"""One connection as the protocol sees it: frames in, events out. Pure: it is told the time.

    GREETING --identification--> IDENTIFIED
        |
        +-- message --> error: no ident yet

A peer introduces itself with its protocol version, its features (if it is a 2.x one) and its
identification. What each frame means in each state stands in one table, ``_MEANING``.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from snakemq.exceptions import (
    SnakeMQBrokenMessage,
    SnakeMQFlood,
    SnakeMQIncompatibleProtocol,
    SnakeMQNoIdent,
    SnakeMQRefused,
)

from ._incoming._inbox import Inbox, Receipts
from ._peers._probe import Probe
from ._stats import Counters
from ._wire import _frames as frames

if TYPE_CHECKING:
    from snakemq.link import TimerHandle
    from snakemq.queues import OutgoingQueue

MAX_PINGS_PER_SECOND = 1000
"""A peer that sends more is disconnected. An honest one pings once in its keep-alive interval."""

MAX_IN_FLIGHT_MESSAGES = 65_536
"""Messages to a peer that may be unacknowledged, however large a window it has. All of them are in
the memory of this side, also if they came out of a storage."""

MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""The same in bytes of their data; one message may always be under way."""

NO_PROBE = Probe(0, 0, None)


class State(Enum):
    GREETING = "greeting"
    IDENTIFIED = "identified"


class Identified(NamedTuple):
    """The peer has said who it is."""

    ident: str


class Answer(NamedTuple):
    """A frame is to be sent back."""

    frame: bytes


class Acked(NamedTuple):
    """The peer has processed that many messages of this connection."""

    processed: int


class Numbered(NamedTuple):
    """The peer has admitted this connection, and says which one it is of those it has admitted."""

    number: int


class Rejected(NamedTuple):
    """The connection must be closed because of ``error``, after sending ``farewell``."""

    error: Exception
    farewell: bytes


Event: TypeAlias = "Identified | Answer | Acked | Numbered | Rejected | None"


class Session:
    """What is known of one connection."""

    # There are thousands of them, and more attributes than the instances of a class share keys for.
    __slots__ = (
        "_pings",
        "_second_of_pings",
        "ack_packet_id",
        "ack_timer",
        "acked",
        "acks",
        "closed",
        "conn_id",
        "counters",
        "farewell_packet_id",
        "features",
        "has_more_to_handle",
        "ident",
        "inbox",
        "is_admitted",
        "is_held",
        "largest_message",
        "last_ping",
        "last_recv",
        "notice_due",
        "notice_packet_id",
        "notice_timer",
        "order",
        "pong_packet_id",
        "probe",
        "proved_alive_at",
        "queue",
        "receipts",
        "round_trip_probe",
        "sent",
        "sent_packet_id",
        "state",
        "timer",
        "unsent",
    )

    def __init__(self, conn_id: str, now: float, order: int = 0) -> None:
        self.conn_id = conn_id
        self.order = order
        """Which one it is of the connections that were made here."""
        self.state = State.GREETING
        self.closed = False
        self.features: frames.Features | None = None
        """``None``: it is a 1.6 peer, or has not introduced itself yet."""
        self.largest_message = frames.MAX_PACKET_SIZE
        """Bytes of data that the peer takes in a message; below 0 if not even an empty one."""
        self.acks = False
        """Do both sides acknowledge messages?"""

        self.ident: str | None = None
        """Set when the identification was accepted; claims of it are the business of Messaging."""
        self.is_admitted = False
        """Have all callbacks of ``on_connect`` returned? Before, nothing is sent or taken."""
        self.queue: OutgoingQueue | None = None
        self.unsent: deque[tuple[int, int]] = deque()
        """Messages that were given to the packeter and not to the system yet: first and last id
        of runs of packets."""
        self.sent = 0
        """How many of the messages in flight, from the first one on, the system has taken over."""

        self.acked = 0
        """How many of the messages sent on this connection the peer has acknowledged."""

        self.round_trip_probe: tuple[int, float] | None = None
        """The ack to come that is timed, and when its message was sent."""
        self.counters = Counters()
        """Replaced by those of the peer when it is identified."""

        self.has_more_to_handle = False
        """Is this the middle of several packets that have arrived together?"""
        self.inbox: Inbox | None = None
        self.receipts = Receipts()
        self.ack_timer: TimerHandle | None = None

        self.last_recv = now
        self.last_ping: float | None = None
        """When it was pinged; ``None`` if anything has arrived since."""
        self.probe = NO_PROBE
        """The last ping of the keep-alive."""
        self.notice_due = 0.0
        """When to look next whether a peer that sends has heard anything meanwhile."""
        self.notice_packet_id = 0
        """The last packet that was sent at the last look."""
        self.notice_timer: TimerHandle | None = None
        self.proved_alive_at: float | None = None
        """When it has answered the ping of a contest."""
        self.is_held = False
        """Must no message leave for it now?"""
        self.timer: TimerHandle | None = None
        """The deadline of the identification, later the next look at the keep-alive."""
        self.pong_packet_id = 0  # the last pong that was queued
        self.ack_packet_id = 0  # the last ack that was queued
        self.sent_packet_id = 0  # the last packet that was sent
        self.farewell_packet_id: int | None = None
        """Set when the peer is turned away: it is not listened to any more, and the connection is
        closed when this packet was sent."""
        self._second_of_pings = now
        self._pings = 0

    def count_sent(self, packet_id: int) -> int:
        """How many messages were sent, now that all packets up to that one are."""
        unsent = self.unsent
        sent = 0
        while unsent and unsent[0][0] <= packet_id:
            first, last = unsent.popleft()
            sent += min(last, packet_id) - first + 1
            if last > packet_id:
                unsent.appendleft((packet_id + 1, last))
        return sent

    def skip_sent(self, count: int) -> None:
        """That many messages, the next ones, are known to be sent."""
        unsent = self.unsent
        while count and unsent:  # Ctrl-C may have come before the last one was noted
            first, last = unsent.popleft()
            skipped = min(count, last - first + 1)
            count -= skipped
            if first + skipped <= last:
                unsent.appendleft((first + skipped, last))

    def receive(self, frame: bytes) -> Event:
        """Handle any frame but a message of an identified peer, which has a shorter way.

        Raises an exception of the ``SnakeMQException`` family if the peer broke the rules.
        """
        if not frame:
            raise SnakeMQBrokenMessage("an empty frame")
        meaning = _MEANING[self.state].get(frame[0])
        return None if meaning is None else meaning(self, frame)

    def _check_version(self, frame: bytes) -> Event:
        version = frames.decode_version(frame)
        if version == frames.PROTOCOL_VERSION:
            return None
        error = SnakeMQIncompatibleProtocol(
            f"the peer speaks protocol version {version}, this is {frames.PROTOCOL_VERSION}"
        )
        return Rejected(error, frames.INCOMPATIBLE_PROTOCOL)

    def _was_rejected(self, frame: bytes) -> Event:
        raise SnakeMQIncompatibleProtocol(
            f"the peer does not speak protocol version {frames.PROTOCOL_VERSION}"
        )

    def _was_refused(self, frame: bytes) -> Event:
        _, reason = frames.decode_refused(frame)
        raise SnakeMQRefused(f"refused by the other side, which says {reason!r}")

    def _note_features(self, frame: bytes) -> Event:
        features = frames.decode_features(frame)
        self.features = features._replace(
            window_messages=min(features.window_messages, MAX_IN_FLIGHT_MESSAGES),
            window_bytes=min(features.window_bytes, MAX_IN_FLIGHT_BYTES),
        )
        self.largest_message = features.max_packet_size - frames.MESSAGE_HEADER_SIZE
        self.acks = bool(features.bits & frames.FEATURE_ACKS)
        return None

    def _identify(self, frame: bytes) -> Event:
        ident = frames.decode_identification(frame)
        self.state = State.IDENTIFIED
        return Identified(ident)

    def _note_ack(self, frame: bytes) -> Event:
        return Acked(frames.decode_ack(frame)) if self.acks else None

    def _note_number(self, frame: bytes) -> Event:
        return Numbered(frames.decode_number(frame)) if self.features is not None else None

    def _refuse_message(self, frame: bytes) -> Event:
        raise SnakeMQNoIdent("a message before the identification")

    def _answer_ping(self, frame: bytes) -> Event:
        if self.last_recv >= self._second_of_pings + 1:
            self._second_of_pings = self.last_recv
            self._pings = 0
        self._pings += 1
        if self._pings > MAX_PINGS_PER_SECOND:
            raise SnakeMQFlood(f"more than {MAX_PINGS_PER_SECOND} pings in a second")
        # One pong that waits to be sent answers all pings: a peer that does not read must not
        # make the send buffer grow.
        if self.pong_packet_id > self.sent_packet_id:
            return None
        return Answer(frames.PONG)


_Meaning: TypeAlias = Callable[[Session, bytes], Event]

# Whatever is not in the table is ignored: unknown types as 1.6 does it, so that the protocol can
# grow; a repeated identification, also as 1.6; pongs, because any frame proves life.
_MEANING: dict[State, dict[int, _Meaning]] = {
    State.GREETING: {
        frames.FRAME_TYPE_PROTOCOL_VERSION: Session._check_version,
        frames.FRAME_TYPE_INCOMPATIBLE_PROTOCOL: Session._was_rejected,
        frames.FRAME_TYPE_FEATURES: Session._note_features,
        frames.FRAME_TYPE_IDENTIFICATION: Session._identify,
        frames.FRAME_TYPE_MESSAGE: Session._refuse_message,
        frames.FRAME_TYPE_PING: Session._answer_ping,
        frames.FRAME_TYPE_REFUSED: Session._was_refused,
    },
    State.IDENTIFIED: {
        frames.FRAME_TYPE_PROTOCOL_VERSION: Session._check_version,
        frames.FRAME_TYPE_INCOMPATIBLE_PROTOCOL: Session._was_rejected,
        frames.FRAME_TYPE_PING: Session._answer_ping,
        frames.FRAME_TYPE_ACK: Session._note_ack,
        frames.FRAME_TYPE_NUMBER: Session._note_number,
        frames.FRAME_TYPE_REFUSED: Session._was_refused,
    },
}
