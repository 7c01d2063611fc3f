"""Messaging: messages between peers that are addressed by ident, and queues for absent ones."""

from snakemq._public_home import report_public_home
from snakemq.link import keep_printable
from snakemq.queues import open_storage

from ._dead_letters import DeadLetter, DeadLetters
from ._incoming._backpressure import MAX_UNPROCESSED_BYTES
from ._incoming._verdicts import Reject, Retry
from ._messaging import Messaging
from ._outgoing._limits import QueueLimits, WhenFull
from ._outgoing._peer_queue import PeerQueue
from ._outgoing._posts import MAX_UNSTORED_BYTES
from ._outgoing._queued import Purged, QueuedMessage, QueuedState
from ._outgoing._receipts import Dropped, Receipt, ReceiptState, Unconfirmed
from ._peers._connections import IDENTIFICATION_TIMEOUT, MAX_HANDSHAKE_PACKET_SIZE
from ._peers._contest import CONTEST_WAIT
from ._peers._keepalive import KEEPALIVE_WAIT
from ._receive_hook import ReceiveHook
from ._settings import MAX_ATTEMPTS, RETRY_DELAY, WINDOW_BYTES, WINDOW_MESSAGES
from ._stats import DropReason, MessagingStats, PeerStats
from ._wire._conversation import MAX_IN_FLIGHT_BYTES, MAX_IN_FLIGHT_MESSAGES, MAX_PINGS_PER_SECOND
from ._wire._frames import MAX_IDENT_LENGTH, PROTOCOL_VERSION

__all__ = [
    "CONTEST_WAIT",
    "IDENTIFICATION_TIMEOUT",
    "KEEPALIVE_WAIT",
    "MAX_ATTEMPTS",
    "MAX_HANDSHAKE_PACKET_SIZE",
    "MAX_IDENT_LENGTH",
    "MAX_IN_FLIGHT_BYTES",
    "MAX_IN_FLIGHT_MESSAGES",
    "MAX_PINGS_PER_SECOND",
    "MAX_UNPROCESSED_BYTES",
    "MAX_UNSTORED_BYTES",
    "PROTOCOL_VERSION",
    "RETRY_DELAY",
    "WINDOW_BYTES",
    "WINDOW_MESSAGES",
    "DeadLetter",
    "DeadLetters",
    "DropReason",
    "Dropped",
    "Messaging",
    "MessagingStats",
    "PeerQueue",
    "PeerStats",
    "Purged",
    "QueueLimits",
    "QueuedMessage",
    "QueuedState",
    "Receipt",
    "ReceiptState",
    "ReceiveHook",
    "Reject",
    "Retry",
    "Unconfirmed",
    "WhenFull",
    "open_storage",
]

keep_printable("snakemq.messaging")
report_public_home(__name__)
