"""The uuids of processed messages, peer by peer: see :class:`snakemq.queues.InboxStorage`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from snakemq.queues.parts import UnreadableItem

from ._rows import read_queue_name
from ._statements import ROWS_PER_STATEMENT


@lru_cache(ROWS_PER_STATEMENT)
def _remember_rows(number: int) -> str:
    """Return a statement that appends this many uuids.

    While the loop is busy, each statement waits for the GIL, and executemany at each row.
    """
    return "INSERT INTO inbox (ident, seq, uuid) VALUES " + ", ".join(["(?, ?, ?)"] * number)


def remember(connection: sqlite3.Connection, ident: str, uuids: Sequence[bytes], keep: int) -> None:
    """Append uuids to those of a peer, and forget all but its last ``keep`` uuids."""
    last = connection.execute("SELECT max(seq) FROM inbox WHERE ident = ?", (ident,)).fetchone()[0]
    first = (last or 0) + 1
    for begin in range(0, len(uuids), ROWS_PER_STATEMENT):
        chunk = uuids[begin : begin + ROWS_PER_STATEMENT]
        values = [v for row in enumerate(chunk, first + begin) for v in (ident, *row)]
        connection.execute(_remember_rows(len(chunk)), values)
    connection.execute(
        "DELETE FROM inbox WHERE ident = ? AND seq < ?", (ident, first + len(uuids) - keep)
    )


def recall(connection: sqlite3.Connection, ident: str, count: int) -> list[bytes]:
    """Return the last ``count`` uuids of a peer, oldest first, without what is not a uuid."""
    rows = connection.execute(
        "SELECT uuid FROM inbox WHERE ident = ? ORDER BY seq DESC LIMIT ?", (ident, count)
    )
    uuids = [uuid for (uuid,) in rows if type(uuid) is bytes]
    uuids.reverse()
    return uuids


def remembered(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many uuids each peer has, without what is not an ident."""
    counts: dict[str, int] = {}
    for ident, count in connection.execute("SELECT ident, count(*) FROM inbox GROUP BY ident"):
        with suppress(UnreadableItem):
            counts[read_queue_name(ident)] = count
    return counts


def forget(connection: sqlite3.Connection, idents: Sequence[str]) -> None:
    """Delete all uuids of these peers."""
    connection.executemany("DELETE FROM inbox WHERE ident = ?", [(ident,) for ident in idents])
