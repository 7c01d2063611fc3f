"""What happens when a callback raises, or a peer breaks the rules."""

from __future__ import annotations

import logging
from typing import TypeVar

from snakemq.callbacks import Callback

T = TypeVar("T")


class Guard:
    """Calls callbacks, so that nothing that they raise gets any further than ``on_error``."""

    def __init__(self, log: logging.Logger) -> None:
        self.on_error: Callback[[str, Exception]] = Callback()
        self._log = log

    def call(self, event: Callback[[str, T]], conn_id: str, what: T) -> None:
        """Tell everybody who has joined an event."""
        try:
            event(conn_id, what)
        except Exception as exc:
            self.raised(conn_id, exc)

    def raised(self, conn_id: str, exc: Exception) -> None:
        """Log and report what a callback has raised."""
        self._log.error("conn=%s a callback raised", conn_id, exc_info=exc)
        self.report(conn_id, exc)

    def report(self, conn_id: str, exc: Exception) -> None:
        """Call ``on_error``."""
        try:
            self.on_error(conn_id, exc)
        except Exception:
            self._log.exception("a callback of on_error raised")
