"""What differs between databases: settings of a session, the owner's lock, limits, errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from ._rows import Row

CONNECT_TIMEOUT = 5
"""Seconds after which a server that does not answer counts as away."""


class InUse(Exception):
    """Another session owns the storage."""


class Dialect(ABC):
    """One kind of database."""

    begin = "BEGIN"
    begin_lazily: tuple[str, ...] = ("BEGIN",)
    """Begins a transaction that need not be synced to the disk, if the database has such a kind."""

    def engine_options(self, url: sa.URL) -> dict[str, Any]:
        """Return our defaults for the engine, which the user may override."""
        return {}

    @abstractmethod
    def settle(self, connection: sa.Connection) -> None:
        """Set up a new session."""

    @abstractmethod
    def own(self, connection: sa.Connection, prefix: str, timeout: float) -> None:
        """Become the owner, for as long as the session lives. Raises :exc:`InUse`."""

    @abstractmethod
    def insert(self, messages: sa.Table) -> sa.Insert:
        """Return an INSERT that ignores a message whose uuid is already in its queue."""

    def insert_at_once(self, cursor: Any, table: str, rows: Sequence[Row]) -> bool:
        """Insert rows in one statement, if that is faster than with parameters.

        ``cursor``: one of the driver. ``table``: its name, quoted.

        Returns False, and does nothing, if the database has no such statement, or if it does not
        work with these rows: one may be there already.
        """
        return False

    def literal(self, value: bytes) -> str:
        """Return bytes as a literal for a statement; only hexadecimal digits stand in it."""
        return f"x'{value.hex()}'"

    def queue_names(self, messages: sa.Table) -> sa.FromClause:
        """Select the names of all queues as a column ``name``; costs only what their number costs.

        A DISTINCT reads the whole index, unless the database can jump from name to name. This
        jumps itself.
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

    def check_size(self, data: bytes) -> None:  # noqa: B027 - some databases have no limit
        """Raise :exc:`SnakeMQMessageTooLarge` if the database cannot hold the data."""

    @abstractmethod
    def is_temporary(self, error: exc.SQLAlchemyError) -> bool:
        """Return whether the same call may succeed later without a change to the program."""
