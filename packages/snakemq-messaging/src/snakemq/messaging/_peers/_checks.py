"""Asks the users whether they want a peer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.exceptions import NoConnection, SnakeMQNotAdmitted

from .._events import Events
from .._wire._phases import Phase
from ._connection import Connection
from ._endings import Endings
from ._tracebacks import Tracebacks


class Checks:
    """Calls the callbacks of ``on_connect``, and ends connections that they refuse. Loop only."""

    def __init__(
        self,
        events: Events,
        time: Callable[[], float],
        endings: Endings,
    ) -> None:
        self.on_connect: Callback[[str, str]] = Callback()
        self._events = events
        self._endings = endings
        self._tracebacks = Tracebacks(events.log, time)

    def is_agreed(self, connection: Connection, ident: str) -> bool:
        """Call the callbacks of ``on_connect``. True if all return and none closes the connection.

        A callback that raises ends the connection. After either, the others are not called.
        """
        conversation = connection.conversation
        conn_id = conversation.conn_id
        for check in self.on_connect.callbacks:
            raised: Exception | None = None
            try:
                check(conn_id, ident)
            except Exception as exc:
                raised = exc
            except BaseException:  # Ctrl-C: nothing is known of those that were not called
                with contextlib.suppress(NoConnection):
                    self._endings.close(connection)
                raise
            if raised is not None:
                self._has_raised(connection, ident, raised)
            if conversation.phase is Phase.CLOSED:
                return False
        return True

    def _has_raised(self, connection: Connection, ident: str, raised: Exception) -> None:
        conversation = connection.conversation
        self._tracebacks.log("a callback of on_connect", conversation.conn_id, ident, raised)
        if conversation.phase is Phase.CLOSED:  # by the callback, before it raised
            self._events.report(conversation.conn_id, raised)
            return
        error = SnakeMQNotAdmitted(
            f"{ident!r} is refused: a callback of on_connect raised {type(raised).__name__}"
        )
        error.__cause__ = raised
        self._endings.fail(connection, error)
