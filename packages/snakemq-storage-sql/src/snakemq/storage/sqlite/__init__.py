"""Queues in an SQLite file: durable, without a server, nothing to install."""

from ._sqlite import SqliteQueuesStorage

__all__ = ["SqliteQueuesStorage"]
