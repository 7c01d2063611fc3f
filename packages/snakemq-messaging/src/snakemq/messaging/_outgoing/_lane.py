"""The outgoing lane of a connection."""

from __future__ import annotations

from snakemq.exceptions import SnakeMQBrokenMessage

from .._stats import Counters
from .._wire._conversation import Conversation
from .._wire._cutting import Place
from .._wire._rejections import Rejection
from ._turns import Turns

MAX_PLACES = 512
"""Messages of which a peer may say how much it has. An honest one knows fewer."""


class OutgoingLane:
    """What is on its way to a peer on one connection. Written by the outgoing wing only.

    It is the ``lane`` of the peer's queue, from the time the connection owns the ident until it
    ends.
    """

    __slots__ = (
        "acked",
        "conversation",
        "counters",
        "is_held",
        "places",
        "places_are_known",
        "rejections",
        "round_trip_probe",
        "sent",
        "turns",
        "unsent",
    )

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.counters = Counters()
        """Replaced by those of the peer when it is admitted."""
        self.is_held = True
        """Is sending stopped? It is before the peer is admitted, and in some contests."""
        self.unsent: list[tuple[int, int]] = []
        """Messages that were given to the packeter and not to the system yet: first and last id
        of runs of packets. A list, because they are few, and an empty deque has 0.6 KiB."""
        self.sent = 0
        """How many of the messages in flight, from the first one on, the system has taken over."""
        self.acked = 0
        """How many of the messages sent on this connection the peer has acknowledged."""
        self.rejections: dict[int, Rejection] = {}
        """Messages that the peer has rejected and not acknowledged yet, by their number."""
        self.round_trip_probe: tuple[int, float] | None = None
        """The ack to come that is timed, and when its message was sent."""

        self.places: dict[bytes, int] | None = None
        """How many bytes the peer has of messages that were under way before."""
        self.places_are_known = False
        """Has the peer told all of these? Then large messages may go."""
        self.turns: Turns | None = None
        """Set when the first large message goes."""

    def note_place(self, place: Place) -> None:
        """Note how much the peer has of a message.

        Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` if there are too many.
        """
        if self.places is None:
            self.places = {}
        if self.places_are_known or len(self.places) >= MAX_PLACES:
            raise SnakeMQBrokenMessage("more places to go on than there can be")
        self.places[place.uuid] = place.offset

    def begin_turns(self, max_chunk: int) -> Turns:
        """Open the books of large messages."""
        features = self.conversation.features
        assert features is not None
        self.turns = Turns(features.window_bytes, self.places or {}, max_chunk)
        self.places = None
        return self.turns

    def note_given(self, packet_id: int, size: int, in_flight: int, now: float) -> None:
        """Note that the last packet of a large message was given to the packeter.

        ``size``: its bytes; ``in_flight``: how many messages are, this one included.
        """
        self.unsent.append((packet_id, packet_id))
        self.counters.sent += 1
        self.counters.sent_bytes += size
        if self.round_trip_probe is None:
            self.round_trip_probe = (self.acked + in_flight, now)

    def count_sent(self, packet_id: int) -> int:
        """Return how many more messages are sent, now that all packets up to this one are."""
        unsent = self.unsent
        sent = 0
        while unsent and unsent[0][0] <= packet_id:
            first, last = unsent.pop(0)
            sent += min(last, packet_id) - first + 1
            if last > packet_id:
                unsent.insert(0, (packet_id + 1, last))
        return sent

    def skip_sent(self, count: int) -> None:
        """Note that the next ``count`` messages are sent."""
        unsent = self.unsent
        while count and unsent:  # Ctrl-C may have come before the last one was noted
            first, last = unsent.pop(0)
            skipped = min(count, last - first + 1)
            count -= skipped
            if first + skipped <= last:
                unsent.insert(0, (first + skipped, last))
