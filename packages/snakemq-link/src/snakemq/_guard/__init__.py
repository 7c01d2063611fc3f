"""Calls the user's callbacks without trusting them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

from snakemq.callbacks import Callback

P = ParamSpec("P")
ConnId = TypeVar("ConnId", str, str | None)


class Guard(Generic[ConnId]):
    """Calls callbacks, logs what they raise, and reports it by ``on_error``. Never passes it on.

    The link has no ``on_error``, so its loop and its connections only log what callbacks raise.
    """

    def __init__(self, log: logging.Logger) -> None:
        self.on_error: Callback[[ConnId, Exception]] = Callback()
        self.log = log

    def call(
        self,
        conn_id: ConnId,
        callback: Callable[P, object],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Call ``callback(*args, **kwargs)``, on behalf of the connection ``conn_id``."""
        try:
            callback(*args, **kwargs)
        except Exception as exc:
            self.raised(conn_id, exc)

    def raised(self, conn_id: ConnId, exc: Exception) -> None:
        """Log and report what a callback has raised."""
        self.log.error("conn=%s a callback raised", conn_id, exc_info=exc)
        self.report(conn_id, exc)

    def report(self, conn_id: ConnId, exc: Exception) -> None:
        """Call ``on_error``."""
        try:
            self.on_error(conn_id, exc)
        except Exception:
            self.log.exception("a callback of on_error raised")
