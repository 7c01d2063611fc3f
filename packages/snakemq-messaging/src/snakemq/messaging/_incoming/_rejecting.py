"""Gives messages up for good."""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQMessageTooLarge
from snakemq.link import LinkInterface
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase

from .. import _dead_letters as dead_letters
from .._dead_letters import DeadLetter
from .._events import Events
from .._patience import Patience
from .._stats import Statistics
from .._storekeeper import Storekeeper
from .._wire._rejections import Rejection, RejectionCode
from ._deliveries import Deliveries
from ._delivery import Delivery


class Pending(NamedTuple):
    """A message that is given up once its dead letter is stored."""

    delivery: Delivery
    rejection: Rejection
    cause: str
    time: float


class Rejecting:
    """Stores and reports what is rejected, and has its sender told. For the loop only.

    A message is reported and acknowledged when its dead letter is in the storage, not before.
    """

    def __init__(
        self,
        link: LinkInterface,
        storage: QueuesStorageBase | None,
        storekeeper: Storekeeper | None,
        deliveries: Deliveries,
        statistics: Statistics,
        events: Events,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``storage``: for dead letters; ``storekeeper``: that of the storage."""
        self.on_message_reject: Callback[[str, str, Message]] = Callback()
        self._link = link
        self._storage = storage
        self._storekeeper = storekeeper
        self._deliveries = deliveries
        self._statistics = statistics
        self._events = events
        self._wall_clock = wall_clock
        self._log = logging.getLogger("snakemq.messaging")
        self._pending: deque[Pending] = deque()
        """Those to be stored. The first one is under way, or will be tried again."""
        self._patience = Patience()

    def reject(self, delivery: Delivery, rejection: Rejection, cause: str) -> None:
        """Give up a message. ``cause``: why, for this side; the rejection is for its sender."""
        pending = Pending(delivery, rejection, cause, self._wall_clock())
        if self._storage is None:
            self._end(pending)
            return
        self._pending.append(pending)
        if len(self._pending) == 1:
            self._store()

    def _store(self) -> None:
        storage, storekeeper = self._storage, self._storekeeper
        assert storage is not None
        assert storekeeper is not None
        delivery, _, cause, when = self._pending[0]
        before = delivery.letter
        letter = DeadLetter(
            delivery.ident,
            before.message if before is not None else delivery.message,
            cause,
            delivery.attempts,
            when,
            before.requeued if before is not None else 0,
            before.origin_uuid if before is not None else b"",
        )
        storekeeper.do(lambda: dead_letters.store(storage, letter), self._stored, self._failed)

    def _stored(self, _: object) -> None:
        self._patience.reset()
        self._end(self._pending.popleft())
        if self._pending:
            self._store()

    def _failed(self, exc: Exception) -> None:
        self._events.storage_failed(exc)
        if isinstance(exc, SnakeMQMessageTooLarge):
            self._stored(None)  # the storage can never hold it, and those behind it wait
        else:
            self._link.call_later(self._patience.next_delay(), self._store)

    def _end(self, pending: Pending) -> None:
        delivery, rejection, cause, _ = pending
        if delivery.is_done:
            return  # it was forgotten meanwhile
        ident, message = delivery.ident, delivery.message
        lane = self._deliveries.lane_of(delivery)
        conn_id = lane.conversation.conn_id if lane is not None else ""
        # What the application has decided is not an error.
        level = logging.INFO if rejection.code == RejectionCode.APPLICATION else logging.ERROR
        self._log.log(level, "rejected %s from %r: %s", message, ident, cause)
        self._statistics.of(ident).rejected += 1
        self._events.call(conn_id, self.on_message_reject, conn_id, ident, message)
        self._deliveries.finish(delivery, rejection)
        self._deliveries.after_gaps_closed(ident)
