"""The open tables of a storage on a server, and what their one owner knows about them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from snakemq.queues.parts import OwnerClock, Positions, ServerGate

from ._dialect import Dialect
from ._errors import explain
from ._insertion import Insertion
from ._schema import Tables
from ._session import OwnerSession
from ._statements import Statements
from ._takeover import take_over_v16

T = TypeVar("T")

log = logging.getLogger("snakemq.storage.sqla")


class Database:
    """The tables whose names begin with ``prefix``, opened by their owner.

    Raises :exc:`~snakemq.exceptions.StorageError`.
    """

    def __init__(
        self,
        engine: sa.Engine,
        dialect: Dialect,
        prefix: str,
        *,
        owner_timeout: float,
        answer_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        name = f"SQL storage {engine.url.render_as_string(hide_password=True)}"
        # However fast a call fails, the calls that waited for it fail with it.
        self.gate = ServerGate(name, partial(explain, dialect), log, slow=0.0)
        self.tables = Tables(prefix)
        self.sql = Statements(self.tables, dialect, engine.dialect)
        self.session = OwnerSession(
            engine,
            dialect,
            lambda connection: dialect.own(connection, prefix, owner_timeout),
            self.settle,
            answer_timeout,
            owner_timeout,
        )
        self.positions = Positions()
        self.insertion = Insertion(self.session, dialect, self.sql, self.positions)
        self._time = clock
        self._clock: OwnerClock | None = None
        self._clock_written = 0.0
        try:
            self.run(lambda connection: None)
        except BaseException:
            self.session.end()
            raise
        self.gate.open(self.session)

    def run(self, work: Callable[[sa.Connection], T], extra: float = 0.0) -> T:
        """Run ``work`` when it is this thread's turn: see :meth:`OwnerSession.run`."""
        with self.gate.call():
            return self.session.run(work, extra)

    def settle(self, connection: sa.Connection) -> None:
        """Find out what is there, now that we are the owner (again, after a lost connection)."""
        self.tables.create(connection)
        rows = connection.execute(self.sql.last).all()
        name, last = max(rows, key=lambda row: row.seq, default=(b"", 0))
        readings = [
            connection.execute(self.sql.seconds).scalar(),
            connection.execute(self.sql.stored_at, {"name": name, "seq": last}).scalar(),
            self._clock and self._clock.now(),
        ]
        self._clock = OwnerClock(self._time, max(reading or 0.0 for reading in readings))
        self.positions.continue_after(last)
        self.insertion.undo(connection)
        take_over_v16(
            self.session,
            connection,
            self.tables,
            self.sql.insert_message,
            self.positions,
            self.now(),
        )

    def now(self) -> float:
        """Return what the owners' clock reads."""
        assert self._clock is not None
        return self._clock.now()

    def write_clock(self, connection: sa.Connection, interval: float = 0.0) -> None:
        """Write the clock down, unless that was done within the last ``interval`` seconds."""
        now = self.now()
        if now - self._clock_written >= interval:
            connection.execute(self.sql.update_clock, {"now": now})
            self._clock_written = now

    def close(self) -> None:
        """End the session and release the storage. Idempotent."""
        self.gate.close(self._finish)

    def _finish(self) -> None:
        try:
            if self.session.connection is not None:
                with suppress(sa.exc.SQLAlchemyError):  # costs some seconds of ttl, no message
                    self.write_clock(self.session.connection)
        finally:
            self.session.end()
