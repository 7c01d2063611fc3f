"""Logs what users' checks of peers raise."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .._rate import INTERVAL, Rate


class Tracebacks:
    """Logs the tracebacks of checks, since a check may have a bug; but not for every stranger."""

    def __init__(self, log: logging.Logger, time: Callable[[], float]) -> None:
        self._log = log
        self._rate = Rate(time)

    def log(self, what: str, conn_id: str, ident: str, raised: Exception) -> None:
        """Log what has been raised, once a minute for each line that raises. ``what``: by what."""
        place = raised.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        line = None if place is None else (place.tb_frame.f_code.co_filename, place.tb_lineno)
        if self._rate.count(f"{type(raised).__qualname__} {line}"):
            self._log.error(
                "conn=%s ident=%r %s raised; not told again within %g s",
                *(conn_id, ident, what, INTERVAL),
                exc_info=raised,
            )
