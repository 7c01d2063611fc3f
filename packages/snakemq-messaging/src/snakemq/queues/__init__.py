"""Queues: what waits for a peer, in memory and in a storage."""

from ._storage import MemoryQueuesStorage, QueuesStorageBase

__all__ = ["MemoryQueuesStorage", "QueuesStorageBase"]
