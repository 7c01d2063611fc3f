"""The counters of a stack, and the snapshot of them that users get."""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

RTT_WEIGHT = 0.125
"""The weight of a new round trip in the smoothed one, as in TCP (RFC 6298, section 2)."""

MAX_PEERS = 10_000
"""How many peers have counters before those of absent ones, for which nothing waits, are forgotten:
first the peer that was seen first. The counters of a peer take less than 1 KiB."""

_ATTEMPTS = 16
"""How many peers are examined to find one that can be forgotten; the others go to the end."""


class DropReason(Enum):
    """Why a message was dropped."""

    ABSENT = "absent"
    """Its ttl was 0 and the peer was not connected."""
    DISCONNECTED = "disconnected"
    """It was under way, with ttl 0 or expired, when the connection broke."""
    EXPIRED = "expired"
    """Its ttl was over."""
    REJECTED = "rejected"
    """Its receiver has given it up, see :meth:`Messaging.reject`. 2.0 peers do not say so."""
    QUEUE_FULL = "queue full"
    """It was the oldest in a full queue."""
    NOT_QUEUED = "not queued"
    """It was posted, and there was no room for it, or the storage has failed: its receipt says
    which. The peer has never seen it."""
    TOO_LARGE = "too large"
    """The peer does not take packets of its size, and its ttl was 0. With a ttl it would wait."""
    PURGED = "purged"
    """The application took it out of the queue: see :meth:`PeerQueue.cancel` and
    :meth:`Messaging.drop_queue`."""


class Counters:
    """The counters of one peer, since the start. Only the loop writes them."""

    __slots__ = (
        "connections",
        "delivered",
        "dropped",
        "duplicates",
        "headers_left_out",
        "last_heard",
        "product",
        "received",
        "received_bytes",
        "refused",
        "rejected",
        "resent",
        "round_trip",
        "sent",
        "sent_bytes",
        "version",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.last_heard: float | None = None
        """When the last connection that has ended brought something for the last time."""
        self.sent = 0
        self.sent_bytes = 0
        self.resent = 0
        self.delivered = 0
        self.dropped: dict[DropReason, int] = {}
        self.received = 0
        self.received_bytes = 0
        self.rejected = 0
        self.refused = 0
        self.duplicates = 0
        self.headers_left_out = 0
        self.product = self.version = ""
        self.round_trip: float | None = None

    def count_drop(self, reason: DropReason) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def measured_round_trip(self, seconds: float) -> None:
        known = self.round_trip
        self.round_trip = seconds if known is None else known + RTT_WEIGHT * (seconds - known)


class PeerStats(NamedTuple):
    """What :meth:`Messaging.stats` says about one peer. Counts are of messages, since the start of
    the stack; bytes are bytes of data and headers."""

    connected: bool
    connections: int
    """How often it was connected."""
    queued: int
    """Messages that wait now, without those in flight."""
    queued_bytes: int
    """Without ``queue_limits``, this leaves out messages that an earlier process stored and that
    have not been read yet."""
    in_flight: int
    """Messages that the packeter has, or that a 2.x peer has not acknowledged."""
    in_flight_bytes: int
    oldest_age: float | None
    """Seconds since the oldest queued or in-flight message was sent; ``None`` if none is in memory,
    for example before the first connection of a stack that found messages in its storage."""
    sent: int
    """Given to the packeter, including those sent again."""
    sent_bytes: int
    resent: int
    delivered: int
    """Acknowledged."""
    dropped: dict[DropReason, int]
    received: int
    """Arrived, including repetitions."""
    received_bytes: int
    rejected: int
    """Received, and given up because callbacks raised too often."""
    duplicates: int
    """Received, and recognised as repetitions."""
    round_trip: float | None
    """Smoothed seconds from the sending of a message to its ack; ``None``: not measured yet."""
    too_large: int = 0
    """How many queued messages are set aside because the peer does not take their size."""
    headers_left_out: int = 0
    """How often a message was sent without its headers because the peer does not understand them:
    those before 2.1 do not."""
    product: str = ""
    """What the peer has said that it runs, when it was connected last: ``snakemq``, in printable
    ASCII. Empty if it said nothing, as peers before 2.1 do. Nothing proves it."""
    version: str = ""
    """The version of that."""
    refused: int = 0
    """Messages, calls and other things that the ``policy`` has denied the peer."""
    unacked: int = 0
    """Messages that it has sent and that are not processed here yet: the application has them, or
    they wait to be offered. A number that does not fall says that nobody settles them."""
    last_seen: float | None = None
    """Seconds since anything has arrived from it; ``None`` if it was never connected."""

    @property
    def is_awaited(self) -> bool:
        """Do messages wait for it, though it was never connected since this stack was made? Then
        its ident may be misspelled."""
        return self.queued > 0 and not self.connected and not self.connections


class MessagingStats(NamedTuple):
    """The result of :meth:`Messaging.stats`: a picture of one moment, for any exporter."""

    connections: int
    """Peers that are connected now."""
    connected: int
    """How often a peer has connected since the start of the stack."""
    reconnected: int
    """How often a peer has connected that had been connected before."""
    unread_outbox: int
    """Messages that were sent or posted, and that the loop has not seen yet."""
    peers: dict[str, PeerStats]
    """Figures of each peer, by ident."""
    not_proven: int = 0
    """How many connections were closed because their peer had not proven its ident."""

    @property
    def waiting(self) -> int:
        """How many messages wait now, for their peer or for its acknowledgement: those in the
        queues and in flight of all peers, and in ``unread_outbox``."""
        return self.unread_outbox + sum(it.queued + it.in_flight for it in self.peers.values())

    @property
    def never_seen(self) -> list[str]:
        """The idents for which messages wait, though no such peer was connected since this stack
        was made: they may be misspelled. The log names them, too."""
        return [ident for ident, peer in self.peers.items() if peer.is_awaited]


class Statistics:
    """The counters of peers that are connected or have messages, and of recent other peers."""

    def __init__(self, is_needed: Callable[[str], bool]) -> None:
        """``is_needed(ident)``: is that peer connected, or does anything wait for it?"""
        self.peers: dict[str, Counters] = {}
        self._is_needed = is_needed
        self._row: deque[str] = deque()  # their idents, in the order of examination
        self.connected = 0
        self.reconnected = 0
        self.not_proven = 0

    def of(self, ident: str) -> Counters:
        counters = self.peers.get(ident)
        if counters is None:
            if len(self.peers) >= MAX_PEERS:
                self._make_room()
            counters = self.peers[ident] = Counters()
            self._row.append(ident)
        return counters

    def count_connection(self, ident: str, product: str, version: str) -> None:
        """Count a peer that was admitted, and note what it says that it runs."""
        counters = self.of(ident)
        counters.product, counters.version = product, version
        counters.connections += 1
        self.connected += 1
        if counters.connections > 1:
            self.reconnected += 1

    def not_needed_any_more(self) -> None:
        """Forget a peer if there are too many: some queue was just forgotten."""
        if len(self.peers) > MAX_PEERS:
            self._make_room()

    def _make_room(self) -> None:
        for _ in range(min(_ATTEMPTS, len(self._row))):
            ident = self._row.popleft()
            if self._is_needed(ident):
                self._row.append(ident)
                continue
            del self.peers[ident]
            if len(self.peers) < MAX_PEERS:
                return
