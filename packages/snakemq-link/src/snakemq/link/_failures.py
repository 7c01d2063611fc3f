"""Decides which of many repeated failures are worth a line in the log. Pure."""

from __future__ import annotations

_MAX_REASONS = 16
_MAX_HOSTS = 1000
REPORT_INTERVAL = 60.0
"""Seconds. How often a failure of the same remote host is told."""


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
        """It is connected well. Returns how many attempts had failed."""
        count, self.count = self.count, 0
        self._told.clear()
        return count


class _Host:
    def __init__(self, now: float) -> None:
        self.since = now
        self.told: set[str] = set()
        self.untold = 0


class RemoteFailures:
    """Failures of peers that come to the listeners, by their host.

    Each reason is logged once a minute, so that a peer which comes again and again does not fill
    the log. If a host has many reasons, or there are too many hosts, some are only counted.
    """

    def __init__(self) -> None:
        self._hosts: dict[object, _Host] = {}  # the one that was told longest ago comes first

    def add(self, host: object, reason: str, now: float) -> int | None:
        """One more. ``None``, or how many before it were not told, if this one is to be told."""
        entry = self._hosts.get(host)
        if entry is None:
            host, entry = self._entry_for(host, now)
        untold = 0
        if now - entry.since >= REPORT_INTERVAL:
            del self._hosts[host]
            untold = entry.untold
            entry = self._hosts[host] = _Host(now)
        if reason in entry.told or len(entry.told) >= _MAX_REASONS:
            entry.untold += 1
            return None
        entry.told.add(reason)
        return untold

    def _entry_for(self, host: object, now: float) -> tuple[object, _Host]:
        if len(self._hosts) >= _MAX_HOSTS:
            oldest = next(iter(self._hosts))
            if now - self._hosts[oldest].since < REPORT_INTERVAL:
                host = None  # an entry that all further ones share
            else:
                del self._hosts[oldest]
        entry = self._hosts.setdefault(host, _Host(now))
        return host, entry
