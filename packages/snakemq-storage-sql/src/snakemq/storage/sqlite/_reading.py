"""Reading queues, and setting aside what is not a message."""

from __future__ import annotations

import sqlite3
from functools import partial

from snakemq.queues import StoredMessage
from snakemq.queues.parts import UnreadableItem, fill_page

from ._aside import set_aside
from ._database import atomic
from ._rows import Columns, read_message, read_queue_name
from ._statements import COUNT, PAGE, QUEUE_NAMES

Wanted = tuple[str, int, int | None, int | None]
"""The queue, the position to start behind, the most messages, the most bytes of their data."""


def read_queue_names(connection: sqlite3.Connection, filename: str) -> list[str]:
    """Return the names of the queues. A value that cannot be one is set aside with its messages."""
    values = [value for (value,) in connection.execute(QUEUE_NAMES)]
    try:
        return [read_queue_name(value) for value in values]
    except UnreadableItem:
        _set_aside_nameless(connection, filename)
        return [read_queue_name(value) for (value,) in connection.execute(QUEUE_NAMES)]


def read_page(
    connection: sqlite3.Connection, filename: str, now: float, wanted: Wanted
) -> list[StoredMessage]:
    """Return a page of a queue; empty only if there is nothing behind the position."""
    queue_name, after, limit, max_bytes = wanted
    rows = connection.execute(PAGE, (queue_name, after))
    page, unreadable = fill_page(rows, partial(read_message, now), limit, max_bytes)
    rows.close()
    if unreadable:
        _move_aside(connection, filename, [(row[-1], reason) for row, reason in unreadable])
    return page


def count(connection: sqlite3.Connection, queue_name: str) -> int:
    """Return how many messages the queue has."""
    number: int = connection.execute(COUNT, (queue_name,)).fetchone()[0]
    return number


def _set_aside_nameless(connection: sqlite3.Connection, filename: str) -> None:
    unreadable: list[tuple[int, str]] = []
    for position, queue_name in connection.execute("SELECT seq, queue_name FROM messages"):
        try:
            read_queue_name(queue_name)
        except UnreadableItem as error:
            unreadable.append((position, str(error)))
    _move_aside(connection, filename, unreadable)


def _move_aside(connection: sqlite3.Connection, filename: str, rows: list[tuple[int, str]]) -> None:
    """Move rows to the table ``set_aside``. ``rows``: the position of each, and the reason."""
    with atomic(connection):
        for position, reason in rows:
            (columns,) = connection.execute(
                "SELECT queue_name, uuid, ttl, stored_at, flags, data, headers FROM messages"
                " WHERE seq = ?",
                (position,),
            )
            set_aside(connection, filename, Columns(*columns), reason)
            connection.execute("DELETE FROM messages WHERE seq = ?", (position,))
