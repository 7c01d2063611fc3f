"""Queues: what waits for a peer, in memory and in a storage."""

from snakemq._public_home import report_public_home

from ._memory import MemoryQueuesStorage
from ._open import open_storage
from ._outgoing import OutgoingQueue
from ._storage import ForgetfulInbox, InboxStorage, QueuesStorageBase, StoredMessage

__all__ = [
    "ForgetfulInbox",
    "InboxStorage",
    "MemoryQueuesStorage",
    "OutgoingQueue",
    "QueuesStorageBase",
    "StoredMessage",
    "open_storage",
]

report_public_home(__name__)
