"""Queues storages: where messages wait for a peer, and what a storage promises."""

from ._memory import MemoryQueuesStorage
from ._open import open_storage
from ._storage import ForgetfulInbox, InboxStorage, QueuesStorageBase, StoredMessage

__all__ = [
    "ForgetfulInbox",
    "InboxStorage",
    "MemoryQueuesStorage",
    "QueuesStorageBase",
    "StoredMessage",
    "open_storage",
]
