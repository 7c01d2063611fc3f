"""Notices when the application settles nothing, so that a sender can send nothing more."""

from __future__ import annotations

import logging

from snakemq.link import LinkInterface

from .._rate import Rate
from ._inbox import Inbox
from ._lane import IncomingLane
from ._settings import ReceiverSettings

STALL_AFTER = 10.0
"""Seconds that a full window may stay as it is before the log says so."""


class Stalls:
    """Watches full windows. For the loop only."""

    def __init__(self, link: LinkInterface, settings: ReceiverSettings) -> None:
        self._link = link
        self._settings = settings
        self._watched: set[IncomingLane] = set()
        self._rate = Rate(link.time)
        self._log = logging.getLogger("snakemq.messaging")

    def check(self, inbox: Inbox) -> None:
        """Watch the window of a peer if it is full. Call it when messages were left open."""
        lane = inbox.lane
        if lane is None or lane in self._watched or not self._is_full(lane):
            return
        self._watched.add(lane)
        processed = lane.tally.processed
        self._link.call_later(STALL_AFTER, lambda: self._look(inbox, lane, processed))

    def _is_full(self, lane: IncomingLane) -> bool:
        settings = self._settings
        left = lane.tally.window_left(settings.window_messages, settings.window_bytes)
        return lane.conversation.acks and min(left) <= 0

    def _look(self, inbox: Inbox, lane: IncomingLane, processed: int) -> None:
        self._watched.discard(lane)
        if inbox.lane is not lane:
            return  # this connection is closed
        is_stalled = self._is_full(lane) and lane.tally.processed == processed
        if is_stalled and self._rate.count(inbox.ident):
            self._log.warning(
                "%r can send nothing more: %d of its messages fill the window, and for %g s none of"
                " them could be acknowledged; the application has to ack, retry or reject them",
                *(inbox.ident, inbox.open_messages, STALL_AFTER),
            )
        self.check(inbox)
