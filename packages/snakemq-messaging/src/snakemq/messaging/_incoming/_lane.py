"""The incoming lane of a connection: which of its messages are processed, and what to ack. Pure.

An ack is cumulative: it carries the count of message frames of one connection that are processed,
all of them from the first one on. A message can be processed out of order, so what is processed
behind a gap waits for the gap to close. It is known by then, and so is dropped when the connection
breaks and it comes again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .._stats import Counters
from .._wire._conversation import Conversation
from .._wire._rejections import Rejection
from ._assembly import Assembly, Unfinished
from ._delivery import Delivery

if TYPE_CHECKING:
    from snakemq.identity import Identity
    from snakemq.link import TimerHandle
    from snakemq.packeter import Packet


class Repeated:
    """A message that has come again, and that was rejected before."""

    __slots__ = ("rejection", "size")

    is_done = True

    def __init__(self, size: int, rejection: Rejection) -> None:
        self.size = size
        self.rejection = rejection


class Tally:
    """Which message frames of one connection are processed."""

    __slots__ = (
        "_acked_bytes",
        "_bytes_behind_gap",
        "_durable_bytes",
        "acked",
        "behind_gap",
        "durable",
        "processed",
        "unacked_bytes",
        "untold",
        "urgent",
    )

    def __init__(self) -> None:
        self.processed = 0
        """Count of frames that are processed without a gap, from the first one on."""
        self.durable = 0
        """What the next ack may say: the part of these that is in the inbox storage, if there is
        one."""
        self.acked = 0
        """What the last ack said."""
        self.unacked_bytes = 0
        """The data of what is processed and not acked."""
        self._acked_bytes = 0
        self._durable_bytes = 0
        self.urgent = False
        """Does a sender wait for the ack, because it has to keep a message until then?"""
        # From the first frame that is not processed on: its delivery, then one entry for each later
        # frame, a delivery or just the size of a message that is processed.
        self.behind_gap: deque[Delivery | Repeated | int] = deque()
        self._bytes_behind_gap = 0
        self.untold: list[tuple[int, Rejection]] = []
        """Frames that were rejected, by their number on this connection, for the next ack."""

    def window_left(self, messages: int, bytes_: int) -> tuple[int, int]:
        """Return what is left of a window of that size before the next ack."""
        # copy of window_left() for a window above 0: the call would be one more for each batch
        unacked = self.processed - self.acked + len(self.behind_gap)
        return messages - unacked, bytes_ - self.unacked_bytes - self._bytes_behind_gap

    def frame_processed(self, size: int) -> None:
        """Note that the frame that has just come in, with ``size`` bytes, is processed."""
        if self.behind_gap:
            self.behind_gap.append(size)
            self._bytes_behind_gap += size
        else:
            self.processed += 1
            self.unacked_bytes += size

    def frame_open(self, delivery: Delivery) -> None:
        """Note that the frame that has just come in is processed once the delivery is done."""
        self.behind_gap.append(delivery)
        self._bytes_behind_gap += delivery.size

    def frame_rejected(self, size: int, rejection: Rejection) -> None:
        """Note that the frame that has just come in is rejected."""
        self.behind_gap.append(Repeated(size, rejection))
        self._bytes_behind_gap += size
        self.close_gaps()

    def close_gaps(self) -> None:
        """Count what is processed without a gap, now that some deliveries are done."""
        behind = self.behind_gap
        while behind:
            first = behind[0]
            rejection: Rejection | None = None
            if isinstance(first, int):
                size = first
            elif first.is_done:
                size, rejection = first.size, first.rejection
            else:
                return
            behind.popleft()
            self._bytes_behind_gap -= size
            self.processed += 1
            self.unacked_bytes += size
            self.urgent = True
            if rejection is not None:
                self.untold.append((self.processed, rejection))

    def mark(self) -> tuple[int, int]:
        """Return what is processed now, for :meth:`recorded`: messages and bytes."""
        return self.processed, self._acked_bytes + self.unacked_bytes

    def recorded(self, mark: tuple[int, int]) -> None:
        """Note that what was processed when that mark was made may be acked."""
        self.durable, self._durable_bytes = mark

    def ack_sent(self) -> None:
        """Note that an ack has said what is durable."""
        self.acked = self.durable
        self.unacked_bytes -= self._durable_bytes - self._acked_bytes
        self._acked_bytes = self._durable_bytes
        if self.acked == self.processed:
            self.urgent = False


class Early:
    """Messages that have come before it was known whether they are repetitions."""

    __slots__ = ("bytes", "packets")

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.bytes = 0
        """Their data."""


class IncomingLane:
    """What has come from a peer on one connection. Written by the incoming wing only.

    It is the ``lane`` of the peer's inbox, from its admission to the end of the connection.
    """

    __slots__ = (
        "ack_packet_id",
        "ack_timer",
        "arrival_packet_id",
        "arrived_told",
        "assembly",
        "conversation",
        "counters",
        "early",
        "largest_taken",
        "progress",
        "sender",
        "tally",
    )

    def __init__(
        self, conversation: Conversation, counters: Counters, sender: Identity, largest_taken: int
    ) -> None:
        self.conversation = conversation
        self.counters = counters
        self.sender = sender
        self.tally = Tally()
        self.ack_packet_id: int | None = None
        """The last ack, while it waits to be sent."""
        self.ack_timer: TimerHandle | None = None
        self.early: Early | None = None
        """What waits until the inbox is recalled."""
        self.largest_taken = largest_taken
        """Bytes of data that the peer may send in a message."""
        self.assembly: Assembly | None = None
        """Set when the first large message comes, or one is left from an earlier connection."""
        self.arrived_told = 0
        """How many bytes of chunks the peer was told to have arrived."""
        self.arrival_packet_id: int | None = None
        """The frame that said so, while it waits to be sent."""
        self.progress: tuple[Unfinished, ...] = ()
        """Messages of which a part has arrived, and nobody was told yet."""

    def owes_ack(self) -> bool:
        """Is a message processed whose ack the system has not taken over yet?"""
        tally = self.tally
        return self.conversation.acks and (
            tally.processed > tally.acked or self.ack_packet_id is not None
        )
