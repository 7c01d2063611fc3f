"""Calling the user, and telling him when that, or something else, went wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec

from snakemq.callbacks import Callback
from snakemq.exceptions import (
    ConnectFailed,
    SnakeMQBrokenFormat,
    SnakeMQException,
    StorageError,
)

P = ParamSpec("P")


class Events:
    """The guarded way to callbacks: whatever they raise is logged and reported, never passed on."""

    def __init__(self, log: logging.Logger) -> None:
        self.on_error: Callback[[str | None, Exception]] = Callback()
        self.log = log

    def emit(
        self,
        conn_id: str | None,
        callback: Callable[P, object],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Call ``callback(*args)``; what it raises is reported as of connection ``conn_id``."""
        try:
            callback(*args, **kwargs)
        except Exception as exc:
            self.callback_raised(conn_id, exc)

    def callback_raised(self, conn_id: str | None, exc: Exception) -> None:
        self.log.error("conn=%s a callback raised", conn_id, exc_info=exc)
        self.report(conn_id, exc)

    def storage_failed(self, exc: Exception) -> None:
        """It will be asked again."""
        unexpected = None if isinstance(exc, StorageError) else exc
        self.log.error("the storage failed: %s", exc, exc_info=unexpected)
        self.report(None, exc)

    def fault_of_peer(self, conn_id: str, exc: Exception) -> SnakeMQBrokenFormat | None:
        """What a callback said that is wrong with the message; others may have raised as well."""
        if isinstance(exc, SnakeMQBrokenFormat):
            return exc
        if not isinstance(exc, ExceptionGroup):
            return None
        faults, rest = exc.split(SnakeMQBrokenFormat)
        if faults is None:
            return None
        if rest is not None:
            self.callback_raised(conn_id, rest)
        fault: SnakeMQBrokenFormat | ExceptionGroup[SnakeMQBrokenFormat] = faults
        while isinstance(fault, ExceptionGroup):
            fault = fault.exceptions[0]
        return fault

    def connect_failed(self, _address: object, exc: ConnectFailed) -> None:
        """Report a connection that was refused, or was of no use.

        That nobody answers, which has no cause, is not an error: a peer may be away. And what this
        layer or the packeter has told the link was reported by them.
        """
        cause = exc.__cause__
        if cause is not None and not isinstance(cause, SnakeMQException):
            self.report(None, exc)

    def report(self, conn_id: str | None, exc: Exception) -> None:
        try:
            self.on_error(conn_id, exc)
        except Exception:
            self.log.exception("a callback of on_error raised")
