"""Queues in PostgreSQL, MySQL and MariaDB, and in the tables that snakeMQ 1.6 left there. And an
inbox in the user's own database.

Needs SQLAlchemy 2 and the driver of the database: install the extra ``postgresql``, ``mysql`` or
``sqlalchemy`` (which includes no driver) of this package.
"""

try:
    import sqlalchemy as _sqlalchemy
except ModuleNotFoundError as _error:
    if _error.name != "sqlalchemy":
        raise
    raise ModuleNotFoundError(
        "snakemq.storage.sqla needs SQLAlchemy and a driver:"
        " pip install 'snakemq-storage-sql[postgresql]' or 'snakemq-storage-sql[mysql]'",
        name="sqlalchemy",
    ) from _error

from snakemq._public_home import report_public_home

from ._sqla import SqlAlchemyQueuesStorage
from ._user_inbox import SqlAlchemyInbox

__all__ = ["SqlAlchemyInbox", "SqlAlchemyQueuesStorage"]

del _sqlalchemy

report_public_home(__name__)
