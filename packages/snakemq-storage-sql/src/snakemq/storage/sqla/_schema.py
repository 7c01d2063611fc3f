"""The tables of a storage: creating, checking and dropping them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateColumn

from snakemq.queues.parts import too_new

SCHEMA_VERSION = 2

LONGEST_NAME = 1024
"""Bytes of the longest queue name, because MySQL limits what an index holds. An ident has 200."""

_MYSQL = ("mysql", "mariadb")

# Bytes instead of text. PostgreSQL allows no NUL in a text. MySQL takes "peer" and "peer " for the
# same text in most collations, and the one that does not differs from version to version.
_NAME = sa.LargeBinary().with_variant(mysql.VARBINARY(LONGEST_NAME), *_MYSQL)
_UUID = sa.LargeBinary().with_variant(mysql.VARBINARY(16), *_MYSQL)
_DATA = sa.LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL)
_HEADERS = sa.LargeBinary()  # of any kind: they have 4 KiB at most
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}


def inbox_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """Describe a table for the uuids of processed messages."""
    return sa.Table(
        name,
        metadata,
        sa.Column("ident", _NAME, primary_key=True),
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("uuid", _UUID, nullable=False),
        **_OPTIONS,
    )


class Tables:
    """The tables of one storage. ``prefix``: what their names begin with."""

    def __init__(self, prefix: str) -> None:
        self.metadata = sa.MetaData()
        self.v16_name = f"{prefix}items"
        """The table of snakeMQ 1.6, which always uses the default prefix."""
        # seq is the order of pushes. The one owner counts it in memory, under its lock: numbers
        # that the database gives out become visible out of order when two transactions overlap.
        self.messages = sa.Table(
            f"{prefix}messages",
            self.metadata,
            sa.Column("seq", sa.BigInteger(), nullable=False),
            sa.Column("queue_name", _NAME, nullable=False),
            sa.Column("uuid", _UUID, nullable=False),
            sa.Column("ttl", sa.Double()),  # seconds that were left at stored_at
            sa.Column("stored_at", sa.Double(), nullable=False),  # by the owners' clock
            sa.Column("flags", sa.BigInteger(), nullable=False),
            sa.Column("data", _DATA, nullable=False),
            # Since version 2. NULL: none. As the last one, it is added without writing the rows.
            sa.Column("headers", _HEADERS),
            # Two indexes, and none for seq alone: an index costs a batch a fifth of its time.
            # MySQL keeps the rows themselves in the order of the first one, as they are read.
            sa.PrimaryKeyConstraint("queue_name", "seq"),
            sa.UniqueConstraint("uuid", "queue_name", name=f"{prefix}messages_by_uuid"),
            **_OPTIONS,
        )
        self.inbox = inbox_table(f"{prefix}inbox", self.metadata)
        # Rows that are not messages, as they were found.
        self.set_aside = sa.Table(
            f"{prefix}set_aside",
            self.metadata,
            sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
            sa.Column("reason", sa.Text(), nullable=False),
            sa.Column("queue_name", _DATA),
            sa.Column("uuid", _DATA),
            sa.Column("ttl", sa.Double()),
            sa.Column("stored_at", sa.Double()),
            sa.Column("flags", sa.BigInteger()),
            sa.Column("data", _DATA),
            sa.Column("headers", _HEADERS),  # since version 2
            **_OPTIONS,
        )
        # One row, written once everything else is there.
        self.state = sa.Table(
            f"{prefix}state",
            self.metadata,
            sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
            sa.Column("version", sa.Integer(), nullable=False),
            # For how many seconds owners have had this storage open, as of the last write.
            sa.Column("seconds", sa.Double(), nullable=False),
            # 1: the rows of 1.6's table are already in ours; it only has to be renamed.
            sa.Column("v16_taken", sa.Integer(), nullable=False),
            **_OPTIONS,
        )

    def create(self, connection: sa.Connection) -> None:
        """Create what is missing, and bring it up to date. May be repeated after any interruption.

        Raises ``StorageError``, and changes nothing, if a newer version made the tables.
        """
        state = self.state
        version: int | None = None
        if sa.inspect(connection).has_table(state.name):
            version = connection.execute(sa.select(state.c.version)).scalar()
            if version == SCHEMA_VERSION:
                return
            if version is not None and version > SCHEMA_VERSION:
                what = f"the table {state.name}"
                raise too_new(what, version, SCHEMA_VERSION, "snakemq-storage-sql")
        self.metadata.create_all(connection)
        for table in (self.messages, self.set_aside):  # which may be those of version 1
            _add_if_missing(connection, table, table.c.headers)
        if version is None:
            row = {"id": 1, "version": SCHEMA_VERSION, "seconds": 0.0, "v16_taken": 0}
            connection.execute(sa.insert(state), row)
        else:
            connection.execute(sa.update(state).values(version=SCHEMA_VERSION))

    def drop(self, connection: sa.Connection) -> None:
        """Drop the tables with all that is in them."""
        self.metadata.drop_all(connection)


def _add_if_missing(
    connection: sa.Connection, table: sa.Table, column: sa.Column[bytes | None]
) -> None:
    names = {found["name"] for found in sa.inspect(connection).get_columns(table.name)}
    if column.name not in names:
        dialect = connection.dialect
        name = dialect.identifier_preparer.format_table(table)
        definition = CreateColumn(column).compile(dialect=dialect)
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
