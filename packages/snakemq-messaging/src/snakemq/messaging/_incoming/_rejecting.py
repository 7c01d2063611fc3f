"""Gives messages up for good."""

from __future__ import annotations

import logging

from snakemq.callbacks import Callback
from snakemq.message import Message

from .._events import Events
from .._stats import Statistics
from .._wire._rejections import Rejection
from ._deliveries import Deliveries
from ._delivery import Delivery


class Rejecting:
    """Reports what is rejected, and has its sender told. For the loop only."""

    def __init__(self, deliveries: Deliveries, statistics: Statistics, events: Events) -> None:
        self.on_message_reject: Callback[[str, str, Message]] = Callback()
        self._deliveries = deliveries
        self._statistics = statistics
        self._events = events
        self._log = logging.getLogger("snakemq.messaging")

    def reject(self, delivery: Delivery, rejection: Rejection, cause: str) -> None:
        """Give up a message. ``cause``: why, for this side; the rejection is for its sender."""
        self._done(delivery, rejection, cause)

    def _done(self, delivery: Delivery, rejection: Rejection, cause: str) -> None:
        ident, message = delivery.ident, delivery.message
        lane = self._deliveries.lane_of(delivery)
        conn_id = lane.conversation.conn_id if lane is not None else ""
        self._log.error("ident=%r rejected %s: %s", ident, message, cause)
        self._statistics.of(ident).rejected += 1
        self._events.call(conn_id, self.on_message_reject, conn_id, ident, message)
        self._deliveries.finish(delivery, rejection)
        self._deliveries.after_gaps_closed(ident)
