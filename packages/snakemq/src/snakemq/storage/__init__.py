"""Storages of the queues: each back end is a module below, from a distribution of its own.

The contract and the storage in memory live in :mod:`snakemq.queues`; these are the names that
snakeMQ 1.6 has for them.
"""

__path__ = __import__("pkgutil").extend_path(__path__, __name__)

from snakemq.queues import MemoryQueuesStorage, QueuesStorageBase

__all__ = ["MemoryQueuesStorage", "QueuesStorageBase"]
