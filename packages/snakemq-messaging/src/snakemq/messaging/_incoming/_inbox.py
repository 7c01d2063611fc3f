"""What is known of the messages of one peer, whichever connection they come on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from .._wire._rejections import Rejection, RejectionCode
from ._delivery import Delivery
from ._lane import IncomingLane

REJECTED_BEFORE = Rejection(RejectionCode.OTHER, "rejected, before the receiver was restarted")
"""Stands for a rejection of which an inbox storage has kept no more than that it happened."""

if TYPE_CHECKING:
    from snakemq.identity import Identity


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
        """Remember a uuid as the latest; False if it is known already, see :meth:`renew`."""
        young = self._young
        if uuid in young or uuid in self._old:
            return False
        self._put(young, uuid)
        return True

    def renew(self, uuid: bytes) -> bool:
        """Make a known uuid the latest. False if it is in the young generation, where it may stay
        as it is.

        A sender that is killed between an ack and the deletion repeats the message, each time it
        is killed.
        """
        young = self._young
        if uuid in young:
            return False
        self._put(young, uuid)
        return True

    def _put(self, young: set[bytes], uuid: bytes) -> None:
        young.add(uuid)
        if len(young) >= self._capacity:
            self._old = young
            self._young = set()

    def discard(self, uuid: bytes) -> None:
        """Forget a uuid."""
        self._young.discard(uuid)
        self._old.discard(uuid)

    def restore(self, uuids: Sequence[bytes]) -> None:
        """Remember the two generations of an earlier process, of which these are the last."""
        self._old.update(uuids[-2 * self._capacity :])

    def __contains__(self, uuid: bytes) -> bool:
        return uuid in self._young or uuid in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class RecentRejections:
    """Remembers what was said of the last ``capacity`` messages that were rejected.

    If the connection breaks before its sender knows, the message comes again, and must not be taken
    for processed. Of those that can come again, at most two windows were rejected.
    """

    __slots__ = ("_by_uuid", "_capacity", "get")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._by_uuid: dict[bytes, Rejection] = {}  # the oldest first
        self.get = self._by_uuid.get
        """Returns the rejection of a uuid, or ``None``."""

    def add(self, uuid: bytes, rejection: Rejection) -> None:
        self._by_uuid.pop(uuid, None)
        self._by_uuid[uuid] = rejection
        if len(self._by_uuid) > self._capacity:
            del self._by_uuid[next(iter(self._by_uuid))]

    def __len__(self) -> int:
        return len(self._by_uuid)


def mark_of(uuid: bytes) -> bytes:
    """Return what an inbox storage remembers behind the uuid of a message that was rejected.

    It is the complement of the uuid. So storages need not know of rejections.
    """
    return bytes(255 - byte for byte in uuid)


class Recording(Enum):
    """What happens to what was processed."""

    NOTHING = "it is collected"
    WRITING = "the storage writes a part of it; the rest is collected"
    WAITING = "the storage has failed, and will be tried again"


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
        "recording",
        "rejected",
        "seen",
        "sender",
        "unrecorded",
    )

    def __init__(self, ident: str, capacity: int) -> None:
        self.ident = ident
        self.sender: Identity | None = None
        """The peer, as it was admitted last; ``None`` if it was not in this process."""
        self.lane: IncomingLane | None = None
        """The lane of the admitted connection; ``None`` while there is none."""
        self.is_recalled = True
        """Do we know what an earlier process has processed? Always True without a storage."""
        self.deliveries: dict[Delivery, None] = {}  # in their order
        """Offered and not processed yet, those with ttl 0 included."""
        self.open_bytes = 0
        self.seen = RecentUuids(capacity)
        """Processed or rejected."""
        self.rejected = RecentRejections(capacity)
        self.open: dict[bytes, Delivery] = {}
        self.unrecorded: list[bytes] = []
        """Processed, but not given to the inbox storage yet, so not to be acked."""
        self.recording = Recording.NOTHING

    @property
    def is_recorded(self) -> bool:
        """Is all that was processed in the inbox storage? Always True without one."""
        return not self.unrecorded and self.recording is Recording.NOTHING

    def finished(self, uuid: bytes, rejection: Rejection | None) -> None:
        """Note that a message which may come again was processed, or rejected, by this process."""
        self.seen.add(uuid)
        if rejection is not None:
            self.rejected.add(uuid, rejection)

    def to_record(self, uuid: bytes) -> None:
        """Have the inbox storage remember a message as the latest that is processed or rejected."""
        self.unrecorded.append(uuid)
        if self.rejected.get(uuid) is not None:
            self.unrecorded.append(mark_of(uuid))

    def recalled(self, uuids: Iterable[bytes]) -> None:
        """Note what an earlier process has had remembered."""
        previous = b""
        known = []
        for uuid in uuids:
            if uuid == mark_of(previous):
                self.rejected.add(previous, REJECTED_BEFORE)
            else:
                known.append(uuid)
            previous = uuid
        self.seen.restore(known)

    @property
    def open_messages(self) -> int:
        """How many were offered and are not processed yet."""
        return len(self.deliveries)
