"""A log line about peers that messages wait for, and that have never come."""

from __future__ import annotations

import logging
from itertools import islice

from snakemq.link import LinkInterface

from .._stats import Statistics
from ._table import QueueTable

PATIENCE = 60.0
"""Seconds that a peer has to come for the first time before the log names it."""

INTERVAL = 3600.0
"""Seconds between two lines."""

MAX_NAMES = 10
"""Idents that a line names."""


class NeverSeen:
    """Looks for queues of peers that were not connected since the stack was made: their idents may
    be misspelled. For the loop only.

    It looks a minute after something was left in the queue of an absent peer, and names what it
    finds at most once an hour.
    """

    def __init__(self, link: LinkInterface, queues: QueueTable, statistics: Statistics) -> None:
        self.is_planned = False
        """Will it look? Otherwise call :meth:`plan` when something waits for an absent peer."""
        self._link = link
        self._queues = queues
        self._statistics = statistics
        self._next_line = float("-inf")
        self._log = logging.getLogger("snakemq.messaging")

    def plan(self) -> None:
        """Look, in a while."""
        self.is_planned = True
        delay = max(PATIENCE, self._next_line - self._link.time())
        self._link.call_later(delay, self._look)

    def _look(self) -> None:
        self.is_planned = False
        counters = self._statistics.peers
        idents = [
            queue.ident
            for queue in self._queues
            if queue.lane is None
            and len(queue)
            and (queue.ident not in counters or not counters[queue.ident].connections)
        ]
        if not idents:
            return
        self._next_line = self._link.time() + INTERVAL
        names = ", ".join(repr(ident) for ident in islice(sorted(idents), MAX_NAMES))
        more = len(idents) - MAX_NAMES
        self._log.warning(
            "messages wait for peers that were never connected since the start: %s%s; if an ident"
            " is misspelled, drop_queue() drops its messages",
            names,
            f" and {more} more" if more > 0 else "",
        )
        self.plan()
