"""A table of snakeMQ 1.6 is taken over, in the database where it is."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from ._rows import UnreadableRow, read_v16_row
from ._schema import Tables
from ._session import OwnerSession

log = logging.getLogger("snakemq.storage.sqla")

# snakemq/storage/sqla.py of 1.6.0. MySQL keeps the type of uuid and ttl in its own way.
V16_COLUMNS = ("id_", "queue_name", "uuid", "data", "flags", "ttl")

_CHUNK = 200


def take_over_v16(
    session: OwnerSession,
    connection: sa.Connection,
    tables: Tables,
    insert: sa.Insert,
    seq: int,
    now: float,
) -> int:
    """Copy the messages of 1.6's table, if there is one, and rename it to a backup.

    ``seq``: the first number for them. ``now``: the reading of the owners' clock.

    Returns the next free number. Interrupted at any place, it goes on at the next opening: the
    copy is one transaction, in which the storage also notes that it was made.
    """
    names = sa.inspect(connection).get_table_names()
    old = tables.v16_name
    is_there = old in names and {
        column["name"] for column in sa.inspect(connection).get_columns(old)
    } == set(V16_COLUMNS)
    state = tables.state
    if is_there:
        if not connection.execute(sa.select(state.c.v16_taken)).scalar():
            seq = _copy(session, connection, tables, insert, seq, now)
        backup, number = f"{old}_v16_backup", 1
        while backup in names:
            number += 1
            backup = f"{old}_v16_backup_{number}"
        quote = connection.dialect.identifier_preparer.quote
        connection.exec_driver_sql(f"ALTER TABLE {quote(old)} RENAME TO {quote(backup)}")
        log.info("the table %s of snakeMQ 1.6 was taken over and renamed to %s", old, backup)
    connection.execute(sa.update(state).where(state.c.v16_taken == 1).values(v16_taken=0))
    return seq


def _copy(
    session: OwnerSession,
    connection: sa.Connection,
    tables: Tables,
    insert: sa.Insert,
    seq: int,
    now: float,
) -> int:
    old = sa.table(tables.v16_name, *(sa.column(name) for name in V16_COLUMNS))
    last = None
    with session.transaction(connection):
        while True:
            page = sa.select(old).order_by(old.c.id_).limit(_CHUNK)
            if last is not None:
                page = page.where(old.c.id_ > last)
            rows = connection.execute(page).mappings().all()
            if not rows:
                break
            last = rows[-1]["id_"]
            good = []
            for row in rows:
                seq += 1
                try:
                    name, item = read_v16_row(row)
                except UnreadableRow as error:
                    _set_aside(connection, tables, seq, row, str(error))
                    continue
                good.append(
                    {
                        "seq": seq,
                        "queue_name": name,
                        "uuid": item.uuid,
                        "ttl": item.ttl,
                        "stored_at": now,
                        "flags": item.flags,
                        "data": item.data,
                    }
                )
            if good:
                connection.execute(insert, good)
        connection.execute(sa.update(tables.state).values(v16_taken=1))
    return seq + 1


def _set_aside(
    connection: sa.Connection, tables: Tables, seq: int, row: sa.RowMapping, reason: str
) -> None:
    # The backup has it as it was; these columns take what fits their types.
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
