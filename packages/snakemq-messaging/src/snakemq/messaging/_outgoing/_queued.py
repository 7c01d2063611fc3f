"""What users are shown of a message that waits for a peer."""

from enum import Enum
from typing import NamedTuple

from snakemq.message import Message


class QueuedState(Enum):
    """Where a queued message is."""

    WAITING = "waiting"
    """It waits in memory."""
    STORED = "stored"
    """It waits in the storage only, behind those in memory."""
    TOO_LARGE = "too large"
    """It is set aside until the peer connects with a larger ``max_packet_size``."""
    IN_CHUNKS = "in chunks"
    """A part of it is on its way. The peer does not have it whole, so it is not processed."""
    RETURNED = "returned"
    """It waits again: it was in flight when a connection broke, and may have been processed."""
    IN_FLIGHT = "in flight"
    """The packeter has it, or it is on its way, or the peer has not acknowledged it."""


class QueuedMessage(NamedTuple):
    """A message that waits for a peer, as :meth:`PeerQueue.list` shows it."""

    uuid: bytes
    size: int
    """Bytes of its data and headers."""
    ttl: float | None
    """How many seconds are left of it; ``None``: it does not expire."""
    flags: int
    age: float | None
    """Seconds since it was sent, or since this process has read it from the storage; ``None`` if it
    has not."""
    state: QueuedState
    sent_bytes: int = 0
    """How much of a message that goes in chunks is on its way, or there already."""
    message: Message | None = None
    """A copy of the message, if it was asked for."""


class Purged(NamedTuple):
    """What has become of a queue that was dropped."""

    dropped: int
    """How many messages were taken out of it."""
    in_flight: int
    """How many were on their way. They stay until the peer acknowledges them."""
