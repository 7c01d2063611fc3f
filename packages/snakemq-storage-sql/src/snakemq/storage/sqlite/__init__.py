"""Queues in an SQLite file: durable, without a server, nothing to install. And an inbox in the
user's own database."""

from snakemq._public_home import report_public_home

from ._sqlite import SqliteQueuesStorage
from ._user_inbox import SqliteInbox

__all__ = ["SqliteInbox", "SqliteQueuesStorage"]

report_public_home(__name__)
