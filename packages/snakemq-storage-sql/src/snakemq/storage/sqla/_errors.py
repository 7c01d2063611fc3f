"""What the errors of SQLAlchemy mean."""

from __future__ import annotations

from sqlalchemy import exc

from snakemq.queues.parts import Failure, in_use

from ._dialect import Dialect, InUse
from ._watchdog import Silent


def explain(dialect: Dialect, error: Exception) -> Failure | None:
    """Say what an exception means, see :data:`~snakemq.queues.parts.Explain`.

    A failure is temporary if the server is away, stops or is out of resources, or if another owner
    has the storage.
    """
    match error:
        case exc.SQLAlchemyError():
            cause = error.orig if isinstance(error, exc.DBAPIError) else error
            return Failure(str(cause), is_lost(error) or dialect.is_temporary(error))
        case Silent():
            return Failure(str(error), is_temporary=True)
        case InUse():
            return Failure(in_use(), is_temporary=True)
    return None


def is_lost(error: exc.SQLAlchemyError) -> bool:
    """Return whether the connection is gone."""
    return isinstance(error, exc.DBAPIError) and bool(error.connection_invalidated)
