"""The uuids of processed messages, peer by peer: see :class:`snakemq.queues.InboxStorage`."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from ._session import OwnerSession
from ._statements import Statements


class Inbox:
    """The inbox of one peer, during one call: it knows whether the call is being repeated."""

    def __init__(self, session: OwnerSession, sql: Statements, ident: bytes) -> None:
        self._session = session
        self._sql = sql
        self._ident = {"name": ident}
        self._is_repeated = False

    def remember(self, connection: sa.Connection, uuids: Sequence[bytes], keep: int) -> None:
        """Append uuids, and forget all but the last ``keep``."""
        sql, ident = self._sql, self._ident
        with self._session.transaction(connection):
            seq = (connection.execute(sql.last_remembered, ident).scalar() or 0) + 1
            # If only the answer to the commit was lost, they are already there.
            if not self._is_repeated or self.recall(connection, len(uuids)) != list(uuids):
                self._is_repeated = True
                rows = [(ident["name"], n, uuid) for n, uuid in enumerate(uuids, seq)]
                if rows:
                    parameters = [sql.remember.parameters(row) for row in rows]
                    connection.exec_driver_sql(sql.remember.text, parameters)
                seq += len(rows)
            connection.execute(sql.forget, ident | {"after": seq - keep})

    def recall(self, connection: sa.Connection, count: int) -> list[bytes]:
        """Return the last ``count`` uuids, oldest first; fewer if there are no more."""
        parameters = {**self._ident, "limit": count}
        uuids = [bytes(uuid) for (uuid,) in connection.execute(self._sql.recall, parameters)]
        uuids.reverse()
        return uuids
