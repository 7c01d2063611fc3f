"""Messaging: messages between peers that are addressed by ident, and queues for absent ones."""

from ._frames import MAX_IDENT_LENGTH, PROTOCOL_VERSION
from ._limits import QueueLimits, WhenFull
from ._messaging import (
    IDENTIFICATION_TIMEOUT,
    KEEPALIVE_WAIT,
    MAX_ATTEMPTS,
    MAX_HANDSHAKE_PACKET_SIZE,
    MAX_PINGS_PER_SECOND,
    RETRY_DELAY,
    WINDOW_BYTES,
    WINDOW_MESSAGES,
    Messaging,
)
from ._receive_hook import ReceiveHook
from ._stats import DropReason, MessagingStats, PeerStats

__all__ = [
    "IDENTIFICATION_TIMEOUT",
    "KEEPALIVE_WAIT",
    "MAX_ATTEMPTS",
    "MAX_HANDSHAKE_PACKET_SIZE",
    "MAX_IDENT_LENGTH",
    "MAX_PINGS_PER_SECOND",
    "PROTOCOL_VERSION",
    "RETRY_DELAY",
    "WINDOW_BYTES",
    "WINDOW_MESSAGES",
    "DropReason",
    "Messaging",
    "MessagingStats",
    "PeerStats",
    "QueueLimits",
    "ReceiveHook",
    "WhenFull",
]
