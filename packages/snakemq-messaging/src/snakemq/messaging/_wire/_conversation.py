"""One connection as the protocol sees it: frames in, events out."""

from typing import ClassVar, NamedTuple, TypeAlias

from snakemq.exceptions import (
    SnakeMQBrokenMessage,
    SnakeMQFlood,
    SnakeMQIncompatibleProtocol,
    SnakeMQNoIdent,
    SnakeMQRefused,
)

from . import _cutting as cutting
from . import _frames as frames
from ._phases import TABLE, Act, Event, Phase, decide
from ._rejections import Rejection

MAX_PINGS_PER_SECOND = 1000
"""A peer that sends more is disconnected. An honest one pings once in its keep-alive interval."""

MAX_IN_FLIGHT_MESSAGES = 65_536
"""Messages to a peer that may be unacknowledged, however large a window it has. All of them are in
the memory of this side, also if they came out of a storage."""

MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""Bytes of their data and headers; one message may always be under way."""


class Claimed(NamedTuple):
    """The peer has said who it is."""

    ident: str


class Answer(NamedTuple):
    """A frame is to be sent back, unless the last one of its kind still waits to be sent."""

    frame: bytes


class Acked(NamedTuple):
    """The peer has processed this many messages of this connection."""

    processed: int


class Numbered(NamedTuple):
    """The peer has admitted this connection, and gives its position among those it has admitted."""

    number: int


class Rejected(NamedTuple):
    """The peer has given up a message of this connection; the ack that covers it follows."""

    number: int
    rejection: Rejection


class Part(NamedTuple):
    """The peer has sent a part of a large message."""


class Arrived(NamedTuple):
    """The peer has got this many bytes of chunks on this connection."""

    size: int


class TurnedAway(NamedTuple):
    """The connection must be closed because of ``error``, after sending ``farewell``."""

    error: Exception
    farewell: bytes


class Held(NamedTuple):
    """The frame is to be kept, and given to :meth:`Conversation.receive` when the connection is
    admitted."""


class Sent(NamedTuple):
    """The peer has sent a message, and is admitted."""


Said: TypeAlias = (
    "Claimed | Answer | Acked | Numbered | Rejected | Part | cutting.Place | Arrived"
    " | TurnedAway | Held | Sent | None"
)


class Conversation:
    """What both sides have said on one connection, and the phase that follows from it.

    Pure: it is told the time, and sends nothing itself. What each frame means in each phase stands
    in one table, see :mod:`_phases`. Written by its own methods and by the peers' wing.
    """

    # There are thousands of them.
    __slots__ = (
        "_pings",
        "_second_of_pings",
        "acks",
        "conn_id",
        "features",
        "has_more_to_handle",
        "ident",
        "largest_message",
        "order",
        "phase",
        "takes_chunks",
        "takes_headers",
    )

    def __init__(self, conn_id: str, now: float, order: int = 0) -> None:
        self.conn_id = conn_id
        self.order = order
        """The position of this connection among those that were made here."""
        self.phase = Phase.GREETING
        self.features: frames.Features | None = None
        """``None``: it is a 1.6 peer, or has not introduced itself yet."""
        self.largest_message = frames.MAX_PACKET_SIZE
        """Bytes of data and headers that the peer takes in a message; below 0 if not even an empty
        one."""
        self.acks = False
        """Do both sides acknowledge messages?"""
        self.takes_headers = False
        """Does the peer understand messages with headers?"""
        self.takes_chunks = False
        """Do both sides put large messages together from chunks?"""
        self.ident: str | None = None
        """Set when this connection owns the ident, from the phase of checking on."""
        self.has_more_to_handle = False
        """Have more packets arrived together with the current one, and wait to be handled?"""
        self._second_of_pings = now
        self._pings = 0

    @property
    def tells_rejections(self) -> bool:
        """Does the ack of a rejected message say so, on both sides?"""
        features = self.features
        return (
            self.acks and features is not None and bool(features.bits & frames.FEATURE_REJECTIONS)
        )

    # -- what this side decides

    def own(self, ident: str, event: Event) -> None:
        """Give this connection the ident, which was free or was won in a contest."""
        self.happen(event)
        self.ident = ident

    def happen(self, event: Event) -> None:
        """Go on to the phase that follows. Raises :exc:`WrongPhase`."""
        self.phase = decide(self.phase, event)

    # -- what the peer says

    def receive(self, frame: bytes, now: float) -> Said:
        """Handle a frame; messages of admitted peers have a shorter way.

        Raises an exception of the ``SnakeMQException`` family if the peer broke the rules.
        """
        event = _EVENTS.get(frame[0], _OTHER) if frame else _EMPTY
        step = TABLE[self.phase].get(event)
        if step is None:
            return None  # it is ignored
        act, phase = step
        if act is not _IS_READ:
            return _not_read(act, event)
        said = self._read[event](self, frame, now)
        if phase is not None:
            self.phase = phase
        return said

    def _check_version(self, frame: bytes, now: float) -> Said:
        version = frames.decode_version(frame)
        if version == frames.PROTOCOL_VERSION:
            return None
        self.happen(Event.OTHER_VERSION)
        error = SnakeMQIncompatibleProtocol(
            f"the peer speaks protocol version {version}, this is {frames.PROTOCOL_VERSION}"
        )
        return TurnedAway(error, frames.INCOMPATIBLE_PROTOCOL)

    def _was_rejected(self, frame: bytes, now: float) -> Said:
        raise SnakeMQIncompatibleProtocol(
            f"the peer does not speak protocol version {frames.PROTOCOL_VERSION}"
        )

    def _was_refused(self, frame: bytes, now: float) -> Said:
        _, reason = frames.decode_refused(frame)
        raise SnakeMQRefused(f"refused by the other side, which says {reason!r}")

    def _note_features(self, frame: bytes, now: float) -> Said:
        features = frames.decode_features(frame)
        self.features = features._replace(
            window_messages=min(features.window_messages, MAX_IN_FLIGHT_MESSAGES),
            window_bytes=min(features.window_bytes, MAX_IN_FLIGHT_BYTES),
        )
        self.largest_message = features.max_packet_size - frames.MESSAGE_HEADER_SIZE
        self.acks = bool(features.bits & frames.FEATURE_ACKS)
        self.takes_headers = bool(features.bits & frames.FEATURE_HEADERS)
        self.takes_chunks = self.acks and bool(features.bits & frames.FEATURE_CHUNKS)
        return None

    def _note_claim(self, frame: bytes, now: float) -> Said:
        return Claimed(frames.decode_identification(frame))

    def _note_message(self, frame: bytes, now: float) -> Said:
        return Sent()

    def _note_ack(self, frame: bytes, now: float) -> Said:
        return Acked(frames.decode_ack(frame)) if self.acks else None

    def _note_number(self, frame: bytes, now: float) -> Said:
        return Numbered(frames.decode_number(frame)) if self.features is not None else None

    def _note_rejection(self, frame: bytes, now: float) -> Said:
        return Rejected(*frames.decode_rejected(frame)) if self.tells_rejections else None

    def _note_part(self, frame: bytes, now: float) -> Said:
        return Part() if self.takes_chunks else None

    def _note_place(self, frame: bytes, now: float) -> Said:
        return cutting.decode_place(frame) if self.takes_chunks else None

    def _note_arrival(self, frame: bytes, now: float) -> Said:
        return Arrived(cutting.decode_arrived(frame)) if self.takes_chunks else None

    def _answer_ping(self, frame: bytes, now: float) -> Said:
        if now >= self._second_of_pings + 1:
            self._second_of_pings = now
            self._pings = 0
        self._pings += 1
        if self._pings > MAX_PINGS_PER_SECOND:
            raise SnakeMQFlood(f"more than {MAX_PINGS_PER_SECOND} pings in a second")
        return Answer(frames.PONG)

    _read: ClassVar = {
        Event.VERSION: _check_version,
        Event.INCOMPATIBLE: _was_rejected,
        Event.FEATURES: _note_features,
        Event.IDENTIFICATION: _note_claim,
        Event.MESSAGE: _note_message,
        Event.PING: _answer_ping,
        Event.ACK: _note_ack,
        Event.REFUSED: _was_refused,
        Event.NUMBER: _note_number,
        Event.REJECTED: _note_rejection,
        Event.PART: _note_part,
        Event.PLACE: _note_place,
        Event.ARRIVED: _note_arrival,
    }


def _not_read(act: Act | None, event: Event) -> Said:
    """Hold back a frame that the peer sent too early, or raise what it did wrong."""
    if act is Act.HOLD:
        return Held()
    if event is Event.MESSAGE:
        raise SnakeMQNoIdent("a message before the identification")
    raise SnakeMQBrokenMessage("an empty frame")


# See TURNED_AWAY, CLOSED in _phases.py
_OTHER, _EMPTY, _IS_READ = Event.OTHER, Event.EMPTY, Act.READ

_EVENTS = {
    frames.FRAME_TYPE_PROTOCOL_VERSION: Event.VERSION,
    frames.FRAME_TYPE_INCOMPATIBLE_PROTOCOL: Event.INCOMPATIBLE,
    frames.FRAME_TYPE_FEATURES: Event.FEATURES,
    frames.FRAME_TYPE_IDENTIFICATION: Event.IDENTIFICATION,
    frames.FRAME_TYPE_MESSAGE: Event.MESSAGE,
    frames.FRAME_TYPE_MESSAGE_WITH_HEADERS: Event.MESSAGE,
    frames.FRAME_TYPE_PING: Event.PING,
    frames.FRAME_TYPE_ACK: Event.ACK,
    frames.FRAME_TYPE_REFUSED: Event.REFUSED,
    frames.FRAME_TYPE_NUMBER: Event.NUMBER,
    frames.FRAME_TYPE_REJECTED: Event.REJECTED,
    frames.FRAME_TYPE_HEAD: Event.PART,
    frames.FRAME_TYPE_CHUNK: Event.PART,
    frames.FRAME_TYPE_ABORT: Event.PART,
    frames.FRAME_TYPE_PLACE: Event.PLACE,
    frames.FRAME_TYPE_ARRIVED: Event.ARRIVED,
}
"""Frames that have a meaning. Pongs have none: any frame proves life."""
