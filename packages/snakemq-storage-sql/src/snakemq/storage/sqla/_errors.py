"""The border: what SQLAlchemy raises leaves this package as a StorageError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from snakemq.exceptions import StorageError

from ._dialect import IN_USE, Dialect, InUse
from ._watchdog import Silent


@contextmanager
def translated(place: str, dialect: Dialect) -> Iterator[None]:
    """Raise :exc:`StorageError` for whatever SQLAlchemy raises in the ``with`` block.

    It is ``temporary`` when the server is away, stops, is out of resources, or when another
    owner holds the storage.
    """
    try:
        yield
    except exc.SQLAlchemyError as error:
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        temporary = is_lost(error) or dialect.is_temporary(error)
        raise StorageError(f"SQL storage {place}: {cause}", temporary=temporary) from error
    except Silent as error:
        raise StorageError(f"SQL storage {place}: {error}", temporary=True) from error
    except InUse as error:
        raise StorageError(f"SQL storage {place}: {IN_USE}", temporary=True) from error


def is_lost(error: exc.SQLAlchemyError) -> bool:
    """Is the connection gone?"""
    return isinstance(error, exc.DBAPIError) and bool(error.connection_invalidated)
