"""Reading queues, and setting aside what is not a message."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from snakemq.queues import StoredMessage

from ._rows import UnreadableRow, read_message, read_queue_name
from ._schema import Tables
from ._session import OwnerSession
from ._statements import Statements

log = logging.getLogger("snakemq.storage.sqla")

Wanted = tuple[bytes, int, int | None, int | None]
"""Name of the queue, after which position, how many messages, how many bytes at most."""


def read_queue_names(
    session: OwnerSession, connection: sa.Connection, tables: Tables, sql: Statements
) -> list[str]:
    """What cannot be the name of a queue is set aside with all that is in it."""
    names = []
    for (value,) in connection.execute(sql.queue_names).all():
        try:
            names.append(read_queue_name(value))
        except UnreadableRow as error:
            rows = connection.execute(sql.all, {"name": value, "after": -1}).mappings().all()
            _set_aside(session, connection, tables, [(row, str(error)) for row in rows])
    return names


def read_page(
    session: OwnerSession,
    connection: sa.Connection,
    tables: Tables,
    sql: Statements,
    now: float,
    wanted: Wanted,
) -> list[StoredMessage]:
    """Empty only if there is nothing behind the position."""
    name, after, limit, max_bytes = wanted
    while True:
        count = limit
        if max_bytes is not None:
            count = _count_up_to(connection, sql, wanted)
        statement, parameters = sql.all, {"name": name, "after": after}
        if count is not None:
            statement, parameters = sql.page, parameters | {"limit": count}
        rows = connection.execute(statement, parameters).mappings().all()
        page, unreadable = [], []
        for row in rows:
            try:
                page.append(StoredMessage(row["seq"], read_message(row, now)))
            except UnreadableRow as error:
                unreadable.append((row, str(error)))
        if unreadable:
            _set_aside(session, connection, tables, unreadable)
        if page or not rows:
            return page


def _count_up_to(connection: sa.Connection, sql: Statements, wanted: Wanted) -> int:
    """With how many messages the page has its bytes. Asked for first: the rows of a page come
    all at once, and one may have a gigabyte."""
    name, after, limit, max_bytes = wanted
    assert limit is not None and max_bytes is not None
    sizes = connection.execute(sql.sizes, {"name": name, "after": after, "limit": limit})
    total = count = 0
    for _, size in sizes.all():
        count += 1
        total += size
        if total >= max_bytes:
            break
    return max(count, 1)


def _set_aside(
    session: OwnerSession,
    connection: sa.Connection,
    tables: Tables,
    unreadable: list[tuple[sa.RowMapping, str]],
) -> None:
    messages = tables.messages
    with session.transaction(connection):
        for row, reason in unreadable:
            connection.execute(sa.insert(tables.set_aside), {**row, "reason": reason})
            is_it = (messages.c.queue_name == row["queue_name"]) & (messages.c.seq == row["seq"])
            connection.execute(sa.delete(messages).where(is_it))
    for row, reason in unreadable:
        log.error(
            "a row of queue %r is not a message (%s); it was moved to %s, seq %d",
            row["queue_name"],
            reason,
            tables.set_aside.name,
            row["seq"],
        )
