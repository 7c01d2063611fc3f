"""Queues: what waits for a peer, in memory and in a storage."""

from ._outgoing import OutgoingQueue, QueuedMessage
from ._storage import InboxStorage, MemoryQueuesStorage, QueuesStorageBase

__all__ = [
    "InboxStorage",
    "MemoryQueuesStorage",
    "OutgoingQueue",
    "QueuedMessage",
    "QueuesStorageBase",
]
