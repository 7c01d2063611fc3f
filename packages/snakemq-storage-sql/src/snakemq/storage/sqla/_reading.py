"""Reading queues, and setting aside what is not a message."""

from __future__ import annotations

import logging
from functools import partial

import sqlalchemy as sa

from snakemq.queues import StoredMessage
from snakemq.queues.parts import UnreadableItem, fill_page

from ._rows import read_message, read_queue_name
from ._schema import Tables
from ._session import OwnerSession
from ._statements import Statements

log = logging.getLogger("snakemq.storage.sqla")

Wanted = tuple[bytes, int, int | None, int | None]
"""The queue, the position to start behind, the most messages, the most bytes of their data."""


class Reading:
    """Reads the queues of a storage, and moves aside what is not a message."""

    def __init__(self, session: OwnerSession, tables: Tables, sql: Statements) -> None:
        self._session = session
        self._tables = tables
        self._sql = sql

    def queue_names(self, connection: sa.Connection) -> list[str]:
        """Return the names of the queues. One that is not text is set aside with its messages."""
        names = []
        for (value,) in connection.execute(self._sql.queue_names).all():
            try:
                names.append(read_queue_name(value))
            except UnreadableItem as error:
                wanted = {"name": value, "after": -1}
                rows = connection.execute(self._sql.all, wanted).mappings().all()
                self._move_aside(connection, [(row, str(error)) for row in rows])
        return names

    def page(self, connection: sa.Connection, now: float, wanted: Wanted) -> list[StoredMessage]:
        """Return a page of a queue; empty only if there is nothing behind the position."""
        name, after, limit, max_bytes = wanted
        while True:
            count = limit
            if max_bytes is not None:
                count = self._count_up_to(connection, wanted)
            statement, parameters = self._sql.all, {"name": name, "after": after}
            if count is not None:
                statement, parameters = self._sql.page, parameters | {"limit": count}
            rows = connection.execute(statement, parameters).mappings().all()
            page, unreadable = fill_page(rows, partial(read_message, now))
            if unreadable:
                self._move_aside(connection, unreadable)
            if page or not rows:
                return page

    def _count_up_to(self, connection: sa.Connection, wanted: Wanted) -> int:
        """Return how many messages fill the page with its bytes.

        This comes first, because the rows of a page come all at once, and one may have a gigabyte.
        """
        name, after, limit, max_bytes = wanted
        assert limit is not None and max_bytes is not None
        parameters = {"name": name, "after": after, "limit": limit}
        total = count = 0
        for _, size in connection.execute(self._sql.sizes, parameters).all():
            count += 1
            total += size
            if total >= max_bytes:
                break
        return max(count, 1)

    def _move_aside(
        self, connection: sa.Connection, unreadable: list[tuple[sa.RowMapping, str]]
    ) -> None:
        messages, set_aside = self._tables.messages, self._tables.set_aside
        with self._session.transaction(connection):
            for row, reason in unreadable:
                connection.execute(sa.insert(set_aside), {**row, "reason": reason})
                has_its_name = messages.c.queue_name == row["queue_name"]
                is_it = has_its_name & (messages.c.seq == row["seq"])
                connection.execute(sa.delete(messages).where(is_it))
        for row, reason in unreadable:
            log.error(
                "a row of queue %r is not a message (%s); it was moved to %s, seq %d",
                row["queue_name"],
                reason,
                set_aside.name,
                row["seq"],
            )
