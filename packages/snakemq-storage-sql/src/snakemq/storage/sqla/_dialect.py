"""What differs between the databases: settings of a session, the owner's lock, limits, errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from ._rows import Row

CONNECT_TIMEOUT = 5
"""Seconds until a server that does not answer counts as being away."""


class InUse(Exception):
    """Another session owns the storage."""


class Dialect(ABC):
    """One kind of database."""

    begin = "BEGIN"
    begin_lazily: tuple[str, ...] = ("BEGIN",)
    """Begins a transaction that need not be synced to the disk, where there is such a thing."""

    def engine_options(self, url: sa.URL) -> dict[str, Any]:
        """What the user may override."""
        return {}

    @abstractmethod
    def settle(self, connection: sa.Connection) -> None:
        """Settings of a new session."""

    @abstractmethod
    def own(self, connection: sa.Connection, prefix: str, timeout: float) -> None:
        """Become the owner, for as long as the session lives. Raises :exc:`InUse`."""

    @abstractmethod
    def insert(self, messages: sa.Table) -> sa.Insert:
        """An INSERT that ignores a message whose uuid is in its queue already."""

    def insert_at_once(self, cursor: Any, table: str, rows: Sequence[Row]) -> bool:
        """Insert rows in one statement, where that is faster than with parameters.

        ``cursor``: of the driver. ``table``: its name, quoted.

        False, and nothing was done, where there is no such thing, or if it does not work with
        these rows: one may be there already.
        """
        return False

    def literal(self, value: bytes) -> str:
        """Bytes as they stand in a statement, nothing in it but digits."""
        return f"x'{value.hex()}'"

    def queue_names(self, messages: sa.Table) -> sa.FromClause:
        """The names of all queues as a column ``name``, in the time that their number takes.

        A DISTINCT reads the whole index, except where the database can jump. So this does.
        """
        m = messages.c
        first = sa.select(m.queue_name.label("name")).order_by(m.queue_name).limit(1)
        names = sa.select(first.subquery().c.name).cte("names", recursive=True)
        following = (
            sa.select(m.queue_name)
            .where(m.queue_name > names.c.name)
            .order_by(m.queue_name)
            .limit(1)
            .scalar_subquery()
        )
        names = names.union_all(sa.select(following).where(names.c.name.is_not(None)))
        return sa.select(names.c.name).where(names.c.name.is_not(None)).subquery()

    def check_size(self, data: bytes) -> None:  # noqa: B027 - where there is no limit
        """Raises :exc:`SnakeMQMessageTooLarge`."""

    @abstractmethod
    def is_temporary(self, error: exc.SQLAlchemyError) -> bool:
        """May the same succeed later, without anybody changing anything?"""
