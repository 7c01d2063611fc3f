"""What goes wrong in this layer, and how the user hears of it."""

from __future__ import annotations

from snakemq._guard import Guard
from snakemq.exceptions import (
    ConnectFailed,
    SnakeMQBrokenFormat,
    SnakeMQException,
    StorageError,
)


class Events(Guard[str | None]):
    """Calls the user's callbacks, and tells him by ``on_error`` what else went wrong.

    There is no ``conn_id`` for what concerns no connection.
    """

    def storage_failed(self, exc: Exception) -> None:
        """Log and report what a storage has raised. The call will be repeated."""
        unexpected = None if isinstance(exc, StorageError) else exc
        self.log.error("the storage failed: %s", exc, exc_info=unexpected)
        self.report(None, exc)

    def fault_of_peer(self, conn_id: str, exc: Exception) -> SnakeMQBrokenFormat | None:
        """Return the error by which a callback blames the message; report what others raised."""
        if isinstance(exc, SnakeMQBrokenFormat):
            return exc
        if not isinstance(exc, ExceptionGroup):
            return None
        faults, rest = exc.split(SnakeMQBrokenFormat)
        if faults is None:
            return None
        if rest is not None:
            self.raised(conn_id, rest)
        fault: SnakeMQBrokenFormat | ExceptionGroup[SnakeMQBrokenFormat] = faults
        while isinstance(fault, ExceptionGroup):
            fault = fault.exceptions[0]
        return fault

    def connect_failed(self, _address: object, exc: ConnectFailed) -> None:
        """Report a connection that was refused, or was of no use.

        A peer that does not answer may be away, which is not an error: it has no cause. What this
        layer or the packeter has told the link, they have reported themselves.
        """
        cause = exc.__cause__
        if cause is not None and not isinstance(cause, SnakeMQException):
            self.report(None, exc)
