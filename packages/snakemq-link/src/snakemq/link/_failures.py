"""Decides which of many repeated failures are worth a line in the log."""

from __future__ import annotations

import logging

_MAX_REASONS = 16
_MAX_SOURCES = 1000
REPORT_INTERVAL = 60.0
"""Seconds. How often a failure of the same source is told."""


class FailureSeries:
    """The attempts of one connector that have failed since it was connected well."""

    def __init__(self) -> None:
        self.count = 0
        self._told: set[str] = set()

    def add(self, reason: str) -> bool:
        """One more. True if that is news: the reason is not one of those before."""
        self.count += 1
        # A reason may have words of a stranger in it, who could find new ones again and again.
        if reason in self._told or len(self._told) >= _MAX_REASONS:
            return False
        self._told.add(reason)
        return True

    def end(self) -> int:
        """Forget the failures, because it is connected. Returns how many attempts had failed."""
        count, self.count = self.count, 0
        self._told.clear()
        return count


class _Source:
    def __init__(self, now: float) -> None:
        self.since = now
        self.told: set[str] = set()
        self.untold = 0


class RepeatedFailures:
    """Failures by their source, such as the host of a peer that comes to a listener.

    Each reason is logged once a minute, so that a peer which comes again and again does not fill
    the log. If a source has many reasons, or there are too many sources, some are only counted.
    """

    def __init__(self) -> None:
        self._sources: dict[object, _Source] = {}  # the one that was told longest ago comes first

    def add(self, source: object, reason: str, now: float) -> int | None:
        """One more. ``None``, or how many before it were not told, if this one is to be told."""
        entry = self._sources.get(source)
        if entry is None:
            source, entry = self._entry_for(source, now)
        untold = 0
        if now - entry.since >= REPORT_INTERVAL:
            del self._sources[source]
            untold = entry.untold
            entry = self._sources[source] = _Source(now)
        if reason in entry.told or len(entry.told) >= _MAX_REASONS:
            entry.untold += 1
            return None
        entry.told.add(reason)
        return untold

    def _entry_for(self, source: object, now: float) -> tuple[object, _Source]:
        if len(self._sources) >= _MAX_SOURCES:
            oldest = next(iter(self._sources))
            if now - self._sources[oldest].since < REPORT_INTERVAL:
                source = None  # an entry that all further ones share
            else:
                del self._sources[oldest]
        entry = self._sources.setdefault(source, _Source(now))
        return source, entry


class RefusalsByCallbacks:
    """Logs what callbacks of ``on_connect`` raise, which closes their connections.

    Each error is logged once a minute: a peer whose connection is closed soon dials again.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._failures = RepeatedFailures()

    def raised(self, conn_id: str, exc: Exception, now: float) -> None:
        """A callback has raised ``exc``."""
        untold = self._failures.add("on_connect", repr(exc), now)
        if untold is not None:
            self._log.error(
                "conn=%s is closed: a callback of on_connect raised%s",
                conn_id,
                f" (and {untold} times more that were not logged)" if untold else "",
                exc_info=exc,
            )
