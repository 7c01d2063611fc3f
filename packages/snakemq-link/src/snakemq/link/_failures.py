"""Decides which of many repeated failures are worth a line in the log."""

from __future__ import annotations

import logging

_MAX_REASONS = 16
_MAX_SOURCES = 1000
REPORT_INTERVAL = 60.0
"""Seconds until the same failure of the same source is reported again."""


class FailureSeries:
    """Counts the failed attempts of one connector since its last connection that worked."""

    def __init__(self) -> None:
        self.count = 0
        self._told: set[str] = set()

    def add(self, reason: str) -> bool:
        """Count one more. Returns True if its reason is a new one."""
        self.count += 1
        # A reason may quote a stranger, who could make up new ones again and again.
        if reason in self._told or len(self._told) >= _MAX_REASONS:
            return False
        self._told.add(reason)
        return True

    def end(self) -> int:
        """End the series, because a connection works. Returns how many attempts had failed."""
        count, self.count = self.count, 0
        self._told.clear()
        return count


class _Source:
    def __init__(self, now: float) -> None:
        self.since = now
        self.logged: set[str] = set()
        self.skipped = 0


class RepeatedFailures:
    """Counts failures by their source, such as the host of a peer that comes to a listener.

    Each reason is to be logged once a minute, so that a peer which comes again and again does not
    fill the log. If a source has many reasons, or there are many sources, some are only counted.
    """

    def __init__(self) -> None:
        self._sources: dict[object, _Source] = {}  # the one that was logged longest ago comes first

    def add(self, source: object, reason: str, now: float) -> int | None:
        """Count one more. If it is to be logged, return how many before it were not; if it is not
        to be logged, return ``None``."""
        entry = self._sources.get(source)
        if entry is None:
            source, entry = self._entry_for(source, now)
        skipped = 0
        if now - entry.since >= REPORT_INTERVAL:
            del self._sources[source]
            skipped = entry.skipped
            entry = self._sources[source] = _Source(now)
        if reason in entry.logged or len(entry.logged) >= _MAX_REASONS:
            entry.skipped += 1
            return None
        entry.logged.add(reason)
        return skipped

    def _entry_for(self, source: object, now: float) -> tuple[object, _Source]:
        if len(self._sources) >= _MAX_SOURCES:
            oldest = next(iter(self._sources))
            if now - self._sources[oldest].since < REPORT_INTERVAL:
                source = None  # an entry that all further sources share
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
        skipped = self._failures.add("on_connect", repr(exc), now)
        if skipped is not None:
            self._log.error(
                "conn=%s is closed: a callback of on_connect raised%s",
                conn_id,
                f" (and {skipped} times more that were not logged)" if skipped else "",
                exc_info=exc,
            )
