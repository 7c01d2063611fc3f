"""Queues in MongoDB."""

from ._mongodb import MongoDbQueuesStorage

__all__ = ["MongoDbQueuesStorage"]
