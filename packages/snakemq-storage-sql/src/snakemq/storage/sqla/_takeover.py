"""Taking over a table of snakeMQ 1.6, in the same database."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from snakemq.queues.parts import Positions, UnreadableItem, free_name

from ._rows import Row, read_v16_row
from ._schema import Tables
from ._session import OwnerSession

log = logging.getLogger("snakemq.storage.sqla")

# See snakemq/storage/sqla.py of 1.6.0. MySQL has its own types for uuid and ttl.
V16_COLUMNS = ("id_", "queue_name", "uuid", "data", "flags", "ttl")

_CHUNK = 200


def take_over_v16(
    session: OwnerSession,
    connection: sa.Connection,
    tables: Tables,
    insert: sa.Insert,
    positions: Positions,
    now: float,
) -> None:
    """Copy the messages of 1.6's table, if there is one, and rename it to a backup.

    ``now``: what the owners' clock reads.

    After an interruption at any point, the next opening goes on with it: the copy is one
    transaction, which also notes that the copy was made.
    """
    state = tables.state
    names = sa.inspect(connection).get_table_names()
    if _is_v16(connection, tables.v16_name, names):
        if not connection.execute(sa.select(state.c.v16_taken)).scalar():
            with session.transaction(connection):
                for rows in _pages(connection, tables.v16_name):
                    _copy(connection, tables, insert, positions, now, rows)
                connection.execute(sa.update(state).values(v16_taken=1))
        _rename(connection, tables.v16_name, names)
    connection.execute(sa.update(state).where(state.c.v16_taken == 1).values(v16_taken=0))


def _is_v16(connection: sa.Connection, name: str, names: Sequence[str]) -> bool:
    """Return whether that table exists and was made by 1.6."""
    if name not in names:
        return False
    columns = {column["name"] for column in sa.inspect(connection).get_columns(name)}
    return columns == set(V16_COLUMNS)


def _pages(connection: sa.Connection, name: str) -> Iterator[Sequence[sa.RowMapping]]:
    """Yield the rows of that table in order, page by page, because there may be many."""
    old = sa.table(name, *(sa.column(column) for column in V16_COLUMNS))
    page = sa.select(old).order_by(old.c.id_).limit(_CHUNK)
    rows = connection.execute(page).mappings().all()
    while rows:
        yield rows
        behind = page.where(old.c.id_ > rows[-1]["id_"])
        rows = connection.execute(behind).mappings().all()


def _copy(
    connection: sa.Connection,
    tables: Tables,
    insert: sa.Insert,
    positions: Positions,
    now: float,
    rows: Sequence[sa.RowMapping],
) -> None:
    """Insert what is a message, and set the rest aside."""
    good: list[dict[str, Any]] = []
    for row in rows:
        seq = positions.reserve(1)
        try:
            name, item = read_v16_row(row)
        except UnreadableItem as error:
            _set_aside(connection, tables, seq, row, str(error))
            continue
        values = Row(seq, name, item.uuid, item.ttl, now, item.flags, item.data)
        good.append(values._asdict())
    if good:
        connection.execute(insert, good)


def _rename(connection: sa.Connection, name: str, names: Sequence[str]) -> None:
    backup = free_name(f"{name}_v16_backup", names.__contains__, "_")
    quote = connection.dialect.identifier_preparer.quote
    connection.exec_driver_sql(f"ALTER TABLE {quote(name)} RENAME TO {quote(backup)}")
    log.info("the table %s of snakeMQ 1.6 was taken over and renamed to %s", name, backup)


def _set_aside(
    connection: sa.Connection, tables: Tables, seq: int, row: sa.RowMapping, reason: str
) -> None:
    # The backup keeps the row as it was; these columns take what fits their types.
    def data(value: object) -> bytes | None:
        if isinstance(value, str):
            return value.encode(errors="replace")
        return value if isinstance(value, bytes) else None

    log.error("row %s of %s is not a message: %s", row["id_"], tables.v16_name, reason)
    connection.execute(
        sa.insert(tables.set_aside),
        {
            "seq": seq,
            "reason": f"row {row['id_']} of {tables.v16_name}: {reason}",
            "queue_name": data(row["queue_name"]),
            "uuid": data(row["uuid"]),
            "data": data(row["data"]),
        },
    )
