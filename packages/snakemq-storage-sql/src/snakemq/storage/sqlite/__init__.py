"""Queues in an SQLite file: durable, without a server, nothing to install."""

from snakemq._public_home import report_public_home

from ._sqlite import SqliteQueuesStorage

__all__ = ["SqliteQueuesStorage"]

report_public_home(__name__)
