"""The SQL of messages and of the inbox."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from ._dialect import Dialect
from ._rows import Row
from ._schema import Tables

UUIDS_PER_STATEMENT = 1000


class Prepared:
    """A statement that the driver gets as text."""

    def __init__(self, statement: sa.Insert, dialect: sa.Dialect, columns: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(columns))
        self.text = str(compiled)
        self._columns = columns
        self._order: list[str] | None = getattr(compiled, "positiontup", None)

    def parameters(self, values: Sequence[Any]) -> Any:
        """Return the parameters as the driver takes them; ``values`` are in the columns' order."""
        named = dict(zip(self._columns, values, strict=True))
        return named if self._order is None else tuple(named[name] for name in self._order)


class Statements:
    """The statements of one storage. SQLAlchemy compiles each one once and caches it.

    Their parameters: ``name`` is the name of a queue or a peer, ``after`` a position or a number in
    an inbox, ``limit`` a number of rows. ``s``, ``u``, ``t`` and ``now`` are a message's position,
    uuid, ttl and clock reading; a parameter cannot have the name of a column.
    """

    def __init__(self, tables: Tables, dialect: Dialect, engine_dialect: sa.Dialect) -> None:
        m, inbox = tables.messages.c, tables.inbox.c
        self.table = engine_dialect.identifier_preparer.format_table(tables.messages)
        self.insert_message = dialect.insert(tables.messages)
        self.insert = Prepared(self.insert_message, engine_dialect, Row._fields)
        names = dialect.queue_names(tables.messages)
        self.queue_names = sa.select(names.c.name)
        last = sa.select(sa.func.max(m.seq)).where(m.queue_name == names.c.name)
        self.last = sa.select(names.c.name, last.scalar_subquery().label("seq"))

        name: sa.BindParameter[bytes] = sa.bindparam("name")
        after: sa.BindParameter[int] = sa.bindparam("after")
        limit: sa.BindParameter[int] = sa.bindparam("limit")
        behind = (m.queue_name == name) & (m.seq > after)
        self.all = sa.select(tables.messages).where(behind).order_by(m.seq)
        self.page = self.all.limit(limit)
        size = sa.func.length(m.data) + sa.func.coalesce(sa.func.length(m.headers), 0)
        self.sizes = sa.select(m.seq, size).where(behind).order_by(m.seq).limit(limit)
        self.stored_at = sa.select(m.stored_at).where(
            m.queue_name == name, m.seq == sa.bindparam("seq")
        )
        self.count = sa.select(sa.func.count()).where(m.queue_name == name)

        self._literal = dialect.literal
        self.delete_all = sa.delete(tables.messages)
        self.delete_seq = sa.delete(tables.messages).where(
            m.seq == sa.bindparam("s"), m.queue_name == name, m.uuid == sa.bindparam("u")
        )
        self.update_ttl = (
            sa.update(tables.messages)
            .where(m.uuid == sa.bindparam("u"))
            .values(ttl=sa.bindparam("t"), stored_at=sa.bindparam("now"))
        )
        self.update_clock = sa.update(tables.state).values(seconds=sa.bindparam("now"))
        self.seconds = sa.select(tables.state.c.seconds)

        self.remember = Prepared(sa.insert(tables.inbox), engine_dialect, list(inbox.keys()))
        self.last_remembered = sa.select(sa.func.max(inbox.seq)).where(inbox.ident == name)
        self.recall = (
            sa.select(inbox.uuid).where(inbox.ident == name).order_by(inbox.seq.desc()).limit(limit)
        )
        self.forget = sa.delete(tables.inbox).where(inbox.ident == name, inbox.seq < after)
        self.forget_peer = sa.delete(tables.inbox).where(inbox.ident == name)
        self.remembered = sa.select(inbox.ident, sa.func.count()).group_by(inbox.ident)

    def delete(self, uuids: Sequence[bytes], queue_name: bytes | None) -> Iterator[str]:
        """Yield statements for the driver that delete messages from one queue, or from all.

        Measured with PostgreSQL, the CPU time for 1000: 1.5 ms, and 8 ms with parameters.
        """
        where = "" if queue_name is None else f" AND queue_name = {self._literal(queue_name)}"
        for start in range(0, len(uuids), UUIDS_PER_STATEMENT):
            literals = ",".join(map(self._literal, uuids[start : start + UUIDS_PER_STATEMENT]))
            yield f"DELETE FROM {self.table} WHERE uuid IN ({literals}){where}"
