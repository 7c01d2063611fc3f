"""What ``stats()`` tells: a picture of all counters, queues and connections."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TypeAlias

from snakemq.message._stack import size_of

from ._incoming._inbox import Inbox
from ._outgoing._queue._queue import OutgoingQueue
from ._stats import Counters, MessagingStats, PeerStats, Statistics


def take_picture(
    statistics: Statistics,
    now: float,
    queues: Iterable[OutgoingQueue],
    connected: Container[str],
    outbox_size: int,
    inboxes: Mapping[str, Inbox],
    last_heard: Callable[[str], float | None],
) -> MessagingStats:
    """Show the figures of this moment. Thread-safe.

    ``last_heard(ident)``: when something has arrived from a peer that is connected.
    """
    counted = statistics.peers.copy()

    def came_from(ident: str, counters: Counters) -> Came:
        heard = last_heard(ident) if ident in connected else counters.last_heard
        inbox = inboxes.get(ident)
        return (
            inbox.open_messages if inbox is not None else 0,
            max(0.0, now - heard) if heard is not None else None,
        )

    peers = {
        ident: _peer_stats(counters, ident in connected, came_from(ident, counters))
        for ident, counters in counted.items()
    }
    for queue in queues:
        ident = queue.ident
        counters = counted.get(ident, _NOTHING)
        came = peers[ident][-2:] if ident in peers else _NOTHING_CAME
        stats = _with_queue(now, counters, queue, ident in connected, came)
        if stats is not None:
            peers[ident] = stats
    return MessagingStats(
        connections=sum([peer.connected for peer in peers.values()]),
        connected=statistics.connected,
        reconnected=statistics.reconnected,
        unread_outbox=outbox_size,
        peers=peers,
        not_proven=statistics.not_proven,
    )


Came: TypeAlias = "tuple[int, float | None]"
"""The fields ``unacked`` and ``last_seen``, which are the last two."""

_NOTHING_CAME: Came = (0, None)

_NOTHING = Counters()
"""Stands for the counters of a peer that has only a queue. Nothing writes to it."""


def _with_queue(
    now: float, counters: Counters, queue: OutgoingQueue, connected: bool, came: Came
) -> PeerStats | None:
    """Return ``None`` if the queue is empty, or the loop has not looked at it yet."""
    # There may be 100,000 queues, so what is 0 in most of them is not computed.
    queued = len(queue)
    in_flight = len(queue.in_flight)
    size = (
        queue.waiting.bytes + queue.large.bytes + queue.aside.bytes + max(0, queue.backlog.bytes)
        if queued
        else 0
    )
    if queue.incoming and not queue.is_announced:
        # It came in, and had no room in the window when the loop looked at it.
        left_over = queue.incoming.copy()
        queued += len(left_over)
        size += sum([size_of(message) for message in left_over])
    if not (queued or in_flight):
        return _peer_stats(counters, connected, came) if queue.lane is not None else None
    oldest = queue.oldest()
    age = None if oldest is None else max(0.0, now - oldest.queued_at)
    return _peer_stats(
        counters,
        connected,
        came,
        queued,
        size,
        in_flight,
        queue.in_flight_bytes,
        age,
        queue.aside.count,
    )


def _peer_stats(
    counters: Counters,
    connected: bool,
    came: Came,
    queued: int = 0,
    queued_bytes: int = 0,
    in_flight: int = 0,
    in_flight_bytes: int = 0,
    oldest_age: float | None = None,
    too_large: int = 0,
) -> PeerStats:
    # By position: with names it takes twice as long.
    return PeerStats(
        connected,
        counters.connections,
        queued,
        queued_bytes,
        in_flight,
        in_flight_bytes,
        oldest_age,
        counters.sent,
        counters.sent_bytes,
        counters.resent,
        counters.delivered,
        counters.dropped.copy(),
        counters.received,
        counters.received_bytes,
        counters.rejected,
        counters.duplicates,
        counters.round_trip,
        too_large,
        counters.headers_left_out,
        counters.product,
        counters.version,
        counters.refused,
        *came,
    )
