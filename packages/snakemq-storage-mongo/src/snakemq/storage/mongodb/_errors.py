"""What the errors of pymongo mean."""

from __future__ import annotations

from bson.errors import BSONError
from pymongo import errors

from snakemq.queues.parts import Failure, in_use

from ._lease import InUse, Lost

# From MongoDB's list, src/mongo/base/error_codes.yml.
_OUT_OF_RESOURCES = {14031, 112, 50, 262}  # disk full, write conflict, out of time (twice)
_INTERRUPTED = {
    11600,
    11601,
    11602,
    91,
}  # by a shutdown, by somebody, by an election, by a shutdown
_NOT_PRIMARY = {10058, 10107, 13435, 13436, 189}
_TEMPORARY_CODES = frozenset(_OUT_OF_RESOURCES | _INTERRUPTED | _NOT_PRIMARY)

_PROBLEMS = ("writeErrors", "writeConcernErrors")


def explain(error: Exception) -> Failure | None:
    """Say what an exception means, see :data:`~snakemq.queues.parts.Explain`.

    A failure is temporary if the server is away, elects a primary or is out of resources, or if
    another owner has the storage. ``OverflowError`` means an integer above 64 bits, which no
    document holds.
    """
    match error:
        case errors.ConnectionFailure() | errors.WTimeoutError():
            return Failure(str(error), is_temporary=True)
        case errors.BulkWriteError():
            return Failure(str(error), _codes(error) <= _TEMPORARY_CODES)
        case errors.OperationFailure():
            return Failure(str(error), error.code in _TEMPORARY_CODES)
        case errors.PyMongoError() | BSONError() | OverflowError():
            return Failure(str(error), is_temporary=False)
        case InUse():
            return Failure(in_use(owner=f"another storage object, {error}"), is_temporary=True)
        case Lost():
            return Failure(
                "this process did not renew its ownership in time, and another one has taken it;"
                " open the storage again",
                is_temporary=False,
            )
    return None


def _codes(error: errors.BulkWriteError) -> set[int]:
    """Return why documents of a batch were not written; the code of the error itself says only
    that there were such reasons."""
    details = error.details
    return {problem["code"] for kind in _PROBLEMS for problem in details.get(kind, ())}


def is_lost(error: errors.PyMongoError) -> bool:
    """Return whether a connection broke, rather than that a server is away or does not answer."""
    away = errors.ServerSelectionTimeoutError | errors.NetworkTimeout
    return isinstance(error, errors.AutoReconnect) and not isinstance(error, away)
