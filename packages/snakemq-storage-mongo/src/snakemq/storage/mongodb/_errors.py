"""The border: what pymongo raises leaves this package as a StorageError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bson.errors import BSONError
from pymongo import errors

from snakemq.exceptions import StorageError

# Out of disk space, write conflict, exceeded time limit, interrupted, too many open cursors.
_TEMPORARY_CODES = frozenset({14031, 112, 50, 262, 11601, 11602})


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise :exc:`StorageError` for whatever pymongo raises in the ``with`` block.

    It is ``temporary`` when the server is away or elects a primary, or is out of resources.
    ``OverflowError`` is an integer above 64 bits, which no document holds.
    """
    try:
        yield
    except (errors.PyMongoError, BSONError, OverflowError) as error:
        temporary = isinstance(error, errors.ConnectionFailure | errors.WTimeoutError) or (
            isinstance(error, errors.OperationFailure) and error.code in _TEMPORARY_CODES
        )
        raise StorageError(f"MongoDB storage {place}: {error}", temporary=temporary) from error


def is_lost(error: errors.PyMongoError) -> bool:
    """Is it a connection that broke, and not a server that cannot be found or does not answer?"""
    away = errors.ServerSelectionTimeoutError | errors.NetworkTimeout
    return isinstance(error, errors.AutoReconnect) and not isinstance(error, away)
