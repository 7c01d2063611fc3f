"""What is known of the messages of one peer, whichever connection they come on. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ._lane import Delivery, IncomingLane


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

        A sender that is killed between an ack and the deletion repeats the message, each time it
        is killed. So each repetition makes the uuid the latest.
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


class Inbox:
    """What is known of the messages of one peer, whichever connection they came on.

    Only messages that their sender may send again are known here: those with a ttl.
    """

    __slots__ = (
        "deliveries",
        "ident",
        "is_recalled",
        "lane",
        "open",
        "open_bytes",
        "seen",
        "unrecorded",
    )

    def __init__(self, ident: str, capacity: int) -> None:
        self.ident = ident
        self.lane: IncomingLane | None = None
        """The lane of the admitted connection; ``None`` while there is none."""
        self.is_recalled = True
        """Do we know what an earlier process has processed? Always True without a storage."""
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
