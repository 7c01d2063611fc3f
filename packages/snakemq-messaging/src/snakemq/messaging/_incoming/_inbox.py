"""What a receiver knows: what it has processed, what it is processing, what to ack. Pure.

An ack is cumulative: it carries the count of message frames of one connection that are processed,
all of them from the first one on. A message can be processed out of order, so what is processed
behind a gap waits for the gap to close. It is known by then, and so is dropped when the connection
breaks and it comes again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from snakemq.message import Message


class RecentUuids:
    """Remembers at least the last ``capacity`` uuids, and less than twice as many.

    Two generations of a set: when the young one is full it becomes the old one. That needs
    neither an order nor a deletion for each uuid.
    """

    __slots__ = ("_capacity", "_old", "_young")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def add(self, uuid: bytes) -> bool:
        """Remember a uuid as the latest; False if it is known already.

        A sender that is killed between an ack and the deletion repeats the message, and if it is
        killed again then once more: each repetition counts, not the first time only.
        """
        young = self._young
        if uuid in young:
            return False
        is_new = uuid not in self._old
        young.add(uuid)
        if len(young) >= self._capacity:
            self._old = young
            self._young = set()
        return is_new

    def discard(self, uuid: bytes) -> None:
        """Forget a uuid."""
        self._young.discard(uuid)
        self._old.discard(uuid)

    def update(self, uuids: Iterable[bytes]) -> None:
        for uuid in uuids:
            self.add(uuid)

    def __contains__(self, uuid: bytes) -> bool:
        return uuid in self._young or uuid in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


FORGOTTEN = -1
"""``_place`` of a received message that was forgotten before it was processed."""


class Delivery:
    """A message that was offered to the application and is not processed yet."""

    __slots__ = ("attempts", "done", "ident", "message", "size")

    def __init__(self, ident: str, message: Message) -> None:
        self.ident = ident
        self.message = message
        self.size = len(message.data)
        self.attempts = 0
        self.done = False


class Inbox:
    """What is known of the messages of one peer, whichever connection they came on.

    Only messages that their sender may send again are known here: those with a ttl.
    """

    __slots__ = (
        "deliveries",
        "is_recalled",
        "open",
        "open_bytes",
        "seen",
        "unrecorded",
    )

    def __init__(self, capacity: int) -> None:
        self.is_recalled = True
        """Is known what an earlier process has processed, or is there no storage to ask?"""
        self.deliveries: dict[Delivery, None] = {}  # in their order
        """Offered and not processed yet, those with ttl 0 included."""
        self.open_bytes = 0
        self.seen = RecentUuids(capacity)
        self.open: dict[bytes, Delivery] = {}
        self.unrecorded: list[bytes] = []
        """Processed, but not in the inbox storage yet, so not to be acked."""

    @property
    def open_messages(self) -> int:
        """How many were offered and are not processed yet."""
        return len(self.deliveries)


class Receipts:
    """Which message frames of one connection are processed."""

    __slots__ = (
        "_bytes_behind_gap",
        "acked",
        "behind_gap",
        "processed",
        "unacked_bytes",
        "urgent",
    )

    def __init__(self) -> None:
        self.processed = 0
        """Count of frames that are processed without a gap, from the first one on."""
        self.acked = 0
        """What the last ack said."""
        self.unacked_bytes = 0
        self.urgent = False
        """Does a sender wait for the ack, because it has to keep a message until then?"""
        # From the first frame that is not processed on: its delivery, and then what came after
        # it, be it a delivery or just the size of a message that is processed.
        self.behind_gap: deque[Delivery | int] = deque()
        self._bytes_behind_gap = 0

    def window_left(self, messages: int, bytes_: int) -> tuple[int, int]:
        """How many messages may come before the next ack, and with how many bytes before the last
        of them: what is left of a window of that size. An empty one lets one message in, however
        large it is."""
        unacked = self.processed - self.acked + len(self.behind_gap)
        return messages - unacked, bytes_ - self.unacked_bytes - self._bytes_behind_gap

    def frame_processed(self, size: int) -> None:
        """The frame that has just come in is processed; ``size`` bytes of data."""
        if self.behind_gap:
            self.behind_gap.append(size)
            self._bytes_behind_gap += size
        else:
            self.processed += 1
            self.unacked_bytes += size

    def frame_open(self, delivery: Delivery) -> None:
        """The frame that has just come in will be processed when the delivery is done."""
        self.behind_gap.append(delivery)
        self._bytes_behind_gap += delivery.size

    def close_gaps(self) -> None:
        """Some deliveries are done."""
        behind = self.behind_gap
        while behind:
            first = behind[0]
            if isinstance(first, Delivery):
                if not first.done:
                    return
                size = first.size
            else:
                size = first
            behind.popleft()
            self._bytes_behind_gap -= size
            self.processed += 1
            self.unacked_bytes += size
            self.urgent = True

    def ack_sent(self) -> None:
        self.acked = self.processed
        self.unacked_bytes = 0
        self.urgent = False
