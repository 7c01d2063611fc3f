"""Queues in MongoDB."""

from snakemq._public_home import report_public_home

from ._mongodb import MongoDbQueuesStorage

__all__ = ["MongoDbQueuesStorage"]

report_public_home(__name__)
