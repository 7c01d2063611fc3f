"""What goes wrong in this layer, and how the user hears of it."""

from __future__ import annotations

from snakemq._guard import Guard
from snakemq.exceptions import (
    CertificateExpired,
    ConnectFailed,
    SnakeMQBrokenFormat,
    SnakeMQException,
    StorageError,
)


class Events(Guard[str | None]):
    """Calls the user's callbacks, and reports everything else that goes wrong by ``on_error``.

    ``conn_id`` is ``None`` for an error that does not concern a connection.
    """

    def storage_failed(self, exc: Exception) -> None:
        """Log and report an error of a storage. The caller will repeat its call."""
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
        """Report a connection that was refused, or that turned out to be useless.

        A peer that does not answer may be away, which is not an error; then ``exc`` has no cause.
        This layer and the packeter have reported their own errors already.
        """
        cause = exc.__cause__
        is_of_the_link = isinstance(cause, CertificateExpired)
        if cause is not None and (is_of_the_link or not isinstance(cause, SnakeMQException)):
            self.report(None, exc)
