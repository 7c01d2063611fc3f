"""Reports peers that come to the listeners and are of no use."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from snakemq.exceptions import ConnectFailed

from .._failures import REPORT_INTERVAL, RepeatedFailures
from .._loop._loop import Loop

if TYPE_CHECKING:
    from .._settings import Settings

_log = logging.getLogger("snakemq.link")


class Strangers:
    """Reports failures of peers that dialled in, but not each one: see ``RepeatedFailures``."""

    def __init__(self, loop: Loop, settings: Settings) -> None:
        self._loop = loop
        self._settings = settings
        self._failures = RepeatedFailures()

    def failed(
        self, remote_peer: object, error: Exception, what: str = "connection from {!r} failed"
    ) -> None:
        """Report one that was of no use, or not let in. ``what`` has a place for its address."""
        host = remote_peer[0] if isinstance(remote_peer, tuple) and remote_peer else remote_peer
        skipped = self._failures.add(host, str(error), self._loop.time())
        if skipped is None:
            _log.debug("%s: %s", what.format(remote_peer), error)
            return
        failure = ConnectFailed(f"{what.format(remote_peer)}: {error}", remote_peer)
        failure.__cause__ = error
        more = f" (and {skipped} more that were not logged)" if skipped else ""
        _log.warning("%s%s; not logged again within %g s", failure, more, REPORT_INTERVAL)
        self._loop.call(self._settings.on_connect_failed, remote_peer, failure)
