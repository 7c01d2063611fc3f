"""Everything that is known about one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._incoming._inbox import Inbox
from .._outgoing._queue._queue import OutgoingQueue
from .._wire._conversation import Conversation
from ._probe import NO_PROBE

if TYPE_CHECKING:
    from snakemq.identity import Identity
    from snakemq.link import TimerHandle


class Connection:
    """A conversation, its queue and inbox, and its signs of life.

    Only the peers' wing writes it.
    """

    # There are thousands of them.
    __slots__ = (
        "conversation",
        "expected",
        "farewell_packet_id",
        "identity",
        "inbox",
        "last_ping",
        "last_recv",
        "max_packet_size",
        "notice_due",
        "notice_position",
        "notice_timer",
        "pong_packet_id",
        "probe",
        "proved_alive_at",
        "queue",
        "sent_packet_id",
        "timer",
    )

    def __init__(self, conn_id: str, now: float, order: int, max_packet_size: int) -> None:
        self.conversation = Conversation(conn_id, now, order)
        self.max_packet_size = max_packet_size
        """The limit that the peer was told. It holds for this connection, whatever the setting of
        the packeter becomes."""
        self.expected: str | None = None
        """The only ident that may be at the other end; ``None``: any one."""
        self.identity: Identity | None = None
        """The peer at the other end; set when it has proven its ident."""
        self.queue: OutgoingQueue | None = None
        """Set when this connection owns the ident."""
        self.inbox: Inbox | None = None
        """Set when this connection is admitted."""
        self.timer: TimerHandle | None = None
        """The deadline of the identification, later the next look at the keep-alive."""
        self.last_recv = now
        self.last_ping: float | None = None
        """When the peer was pinged; ``None`` if anything has arrived since."""
        self.probe = NO_PROBE
        """The last ping of the keep-alive."""
        self.proved_alive_at: float | None = None
        """When the peer answered the ping of a contest."""
        self.notice_due = 0.0
        """When to look next whether a peer that sends has heard anything meanwhile."""
        self.notice_position = 0
        """How many bytes had been sent or queued at the last look."""
        self.notice_timer: TimerHandle | None = None
        self.pong_packet_id = 0  # the last pong that was queued
        self.sent_packet_id = 0  # the last packet that the system is known to have taken over
        self.farewell_packet_id = 0
        """The last packet to a peer that is turned away: once it is sent, the connection closes."""
