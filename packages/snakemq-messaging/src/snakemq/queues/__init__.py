"""Queues: what waits for a peer, in memory and in a storage."""

from ._memory import MemoryQueuesStorage
from ._open import open_storage
from ._outgoing import OutgoingQueue, QueuedMessage
from ._storage import InboxStorage, QueuesStorageBase, StoredMessage

__all__ = [
    "InboxStorage",
    "MemoryQueuesStorage",
    "OutgoingQueue",
    "QueuedMessage",
    "QueuesStorageBase",
    "StoredMessage",
    "open_storage",
]
