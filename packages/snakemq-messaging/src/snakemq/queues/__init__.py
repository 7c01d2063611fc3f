"""Storages of queues: where messages wait for their peers, and what a storage promises."""

from snakemq._public_home import report_public_home

from ._memory import MemoryQueuesStorage
from ._open import open_storage
from ._storage import (
    ForgetfulInbox,
    InboxStorage,
    QueuesStorageBase,
    StoredMessage,
    TransactionalInbox,
)

__all__ = [
    "ForgetfulInbox",
    "InboxStorage",
    "MemoryQueuesStorage",
    "QueuesStorageBase",
    "StoredMessage",
    "TransactionalInbox",
    "open_storage",
]

report_public_home(__name__)
