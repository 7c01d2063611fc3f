"""Offers messages to the application: again, or later than they came."""

from __future__ import annotations

import logging
import threading
from collections import deque

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQBrokenFormat
from snakemq.link import LinkInterface
from snakemq.message import Message

from .._authorization import Authorization
from .._events import Events
from .._wire._phases import Phase
from .._wire._rejections import Rejection, RejectionCode
from ._deliveries import Deliveries
from ._delivery import FAILED, OFFERED, REJECTED, WAITING, Delivery
from ._gate import NOT_ALLOWED, Denied, Gate
from ._inbox import Inbox
from ._lane import IncomingLane
from ._rejecting import Rejecting
from ._row import WaitingRow
from ._settings import ReceiverSettings
from ._transactions import NotKept, Transactions
from ._verdicts import ACK, DENY, RELEASE, Reject, Retry, Verdict, verdict_of

MOST_AT_ONCE = 1000
"""Messages that are offered in one pass of the loop, which then serves the connections."""


class Offers:
    """Calls ``on_message_recv``, and does what the application says of a message. For the loop
    only, except :meth:`settle`.

    The first offer of most messages is made by :class:`Batches`, which is faster.
    """

    def __init__(
        self,
        link: LinkInterface,
        deliveries: Deliveries,
        rejecting: Rejecting,
        settings: ReceiverSettings,
        events: Events,
        authorization: Authorization,
        transactions: Transactions | None,
    ) -> None:
        self.on_message_recv: Callback[[str, str, Message]] = Callback()
        self.gate = Gate(self.on_message_recv, authorization)
        # What is going on in the loop, for defer().
        self.thread = 0
        """The thread that offers messages: the thread of the loop, or any while no loop runs."""
        self.lane: IncomingLane | None = None
        """The lane of the connection whose messages are being offered for the first time."""
        self.offered: Message | None = None
        """The message whose callbacks are being called, if its acknowledgement can be deferred."""
        self.deferred: Delivery | None = None
        """Set when a callback has deferred the acknowledgement of :attr:`offered`."""
        self.offered_again: Delivery | None = None
        self._link = link
        self._deliveries = deliveries
        self._rejecting = rejecting
        self._settings = settings
        self._events = events
        self._transactions = transactions
        self._log = logging.getLogger("snakemq.messaging")
        self._settled: deque[Delivery] = deque()
        self._row = WaitingRow()

    # -- from any thread

    def settle(self, message: Message, verdict: Verdict) -> None:
        """See :meth:`Messaging.ack`, and what is beside it. Thread-safe."""
        delivery = self._deliveries.claim(message)
        if delivery is not None:
            delivery.verdict = verdict
            self._settled.append(delivery)
            self._link.wakeup_poll()

    # -- in the loop

    def on_loop_pass(self) -> None:
        if self._settled:
            self.take_settled()
        if self._row.by_ident:
            self._offer_what_waits()

    def take_settled(self) -> None:
        """Do what the application has said of messages."""
        settled = self._settled
        changed: dict[str, None] = {}  # in their order: a simulation must be repeatable
        for _ in range(len(settled)):
            delivery = settled.popleft()
            if delivery.is_done:
                continue
            verdict = delivery.verdict
            if verdict is ACK or verdict is DENY:
                self._deliveries.finish(delivery, NOT_ALLOWED if verdict is DENY else None)
                changed[delivery.ident] = None
            else:
                self._do(delivery, verdict)
        for ident in changed:
            self._deliveries.after_gaps_closed(ident)

    def _do(self, delivery: Delivery, verdict: Verdict) -> None:
        if isinstance(verdict, Reject):
            delivery.attempts += delivery.standing is OFFERED
            self._reject(delivery, RejectionCode.APPLICATION, verdict.reason, verdict.reason)
        elif isinstance(verdict, Retry):
            if not self._is_last_attempt(delivery, "it was to be retried"):
                self._deliveries.take_back(delivery, WAITING)
                self._later(delivery, verdict.delay)
        elif verdict is RELEASE:
            self._deliveries.take_back(delivery, WAITING)
            self._row.add(delivery)

    def _is_last_attempt(self, delivery: Delivery, cause: str) -> bool:
        """Count an attempt that has failed, and reject the message if there may be no other."""
        delivery.attempts += 1
        if delivery.attempts < self._settings.max_attempts:
            return False
        told = f"given up after {delivery.attempts} attempts"
        self._reject(delivery, RejectionCode.ATTEMPTS, told, f"{told}: {cause}")
        return True

    def _reject(self, delivery: Delivery, code: RejectionCode, told: str, cause: str) -> None:
        self._deliveries.take_back(delivery, REJECTED)
        self._rejecting.reject(delivery, Rejection(code, told), cause)

    def raised(self, conn_id: str, delivery: Delivery, exc: Exception) -> None:
        """Offer a message again later, or reject it, because a callback has raised."""
        self.offered = None  # callbacks of on_error are not offered the message
        verdict, error = verdict_of(exc)
        if error is not None:
            self._events.raised(conn_id, error)
        if not self._deliveries.is_unsettled(delivery):
            return  # one callback has settled it before another one raised
        if verdict is not None:
            self._do(delivery, verdict)
        elif not self._is_last_attempt(delivery, f"{type(exc).__name__}: {exc}"):
            self._deliveries.take_back(delivery, FAILED)
            self._later(delivery, None)

    def _later(self, delivery: Delivery, delay: float | None) -> None:
        def is_due() -> None:
            delivery.due = None
            self._row.add(delivery)
            self._offer_what_waits()

        seconds = self._settings.retry_delay if delay is None else delay
        delivery.due = self._link.call_later(seconds, is_due)

    # -- what waits

    def has_room(self) -> bool:
        """May the application be given one more message? One that is to be acked by it."""
        prefetch = self._settings.prefetch
        if prefetch is None:
            return True
        if self._deliveries.offered >= prefetch and self._settled:
            self.take_settled()
        return self._deliveries.offered < prefetch and not self._row.by_ident

    def hold(self, delivery: Delivery) -> None:
        """Offer a message when there is room for it."""
        self._row.add(delivery)

    def _offer_what_waits(self) -> None:
        prefetch = self._settings.prefetch
        for _ in range(MOST_AT_ONCE):
            if not self._row.by_ident:
                return
            if prefetch is not None and self._deliveries.offered >= prefetch:
                self.take_settled()  # callbacks may have settled what they were given
                if self._deliveries.offered >= prefetch:
                    return
            self._offer(self._row.take())
        self._link.wakeup_poll()

    def _offer(self, delivery: Delivery) -> None:
        if not self._deliveries.hand_out(delivery):
            return
        inbox = self._deliveries.inbox_of(delivery)
        lane = inbox.lane if inbox is not None else None
        conn_id = lane.conversation.conn_id if lane is not None else ""
        message = delivery.message
        message.failures = delivery.attempts
        self.lane, self.offered_again = None, delivery
        self.offered, self.deferred = message, None
        self.thread = threading.get_ident()
        is_requeued = delivery.letter is not None
        event = self._event_for(None if is_requeued else inbox)
        try:
            event(conn_id, delivery.ident, message)
        except NotKept:
            self._not_kept(delivery)
        except Denied:
            self._deliveries.finish(delivery, NOT_ALLOWED)
            self._deliveries.after_gaps_closed(delivery.ident)
        except Exception as exc:
            fault = self._events.fault_of_peer(conn_id, exc)
            if fault is None or is_requeued:  # no connection has just brought it
                self.raised(conn_id, delivery, exc)
            else:
                self._proved_broken(delivery, lane, fault)
        except BaseException:  # Ctrl-C
            if self._deliveries.is_unsettled(delivery):
                self._deliveries.take_back(delivery, FAILED)
                self._later(delivery, None)
            raise
        else:
            if not self._settings.manual_ack and self.deferred is None:
                self._deliveries.finish(delivery)
                self._deliveries.after_gaps_closed(delivery.ident)
        finally:
            self.offered_again = self.offered = self.deferred = None

    def _event_for(self, inbox: Inbox | None) -> Callback[[str, str, Message]]:
        """Return what to call to offer a message again. ``inbox``: ``None`` for a requeued one."""
        event = self.on_message_recv
        if self._settings.policy is not None and inbox is not None:
            event = self.gate.event_for(inbox)
        if self._transactions is not None:
            event = self._transactions.around(
                event, inbox, may_come_again=True, is_deferred=self.is_deferred, alone=True
            )
        return event

    def _not_kept(self, delivery: Delivery) -> None:
        """Have a message sent again, as the inbox has failed; or offer it again, if nobody can
        send it."""
        if delivery.is_done:
            return  # it was forgotten meanwhile
        inbox = self._deliveries.inbox_of(delivery)
        if inbox is not None and inbox.open.get(delivery.message.uuid) is delivery:
            self._deliveries.withdraw(delivery)
        elif self._deliveries.is_unsettled(delivery):
            self._deliveries.take_back(delivery, FAILED)
            self._later(delivery, None)

    def _proved_broken(
        self, delivery: Delivery, lane: IncomingLane | None, fault: SnakeMQBrokenFormat
    ) -> None:
        """Close the connection, as after a first offer. It may be another connection by now."""
        self._deliveries.finish(delivery)
        self._deliveries.after_gaps_closed(delivery.ident)
        conn_id = lane.conversation.conn_id if lane is not None else ""
        self._log.error("conn=%s ident=%r %s", conn_id, delivery.ident, fault)
        self._events.report(conn_id, fault)
        if lane is not None and lane.conversation.phase is not Phase.CLOSED:
            self._link.close(conn_id)

    # -- in callbacks

    def is_deferred(self) -> bool:
        """Has a callback deferred the acknowledgement of the message that is being offered?"""
        return self.deferred is not None

    def defer(self, message: Message) -> None:
        """See :meth:`Messaging.defer_ack`."""
        if self._settings.manual_ack:
            return
        if message is not self.offered or threading.get_ident() != self.thread:
            if self.deferred is not None and self.deferred.message is message:
                return
            raise ValueError(f"{message!r} is not being offered: defer its ack in the callback")
        self.offered = None
        lane = self.lane
        if lane is None:  # it is offered again, and open since the first time
            self.deferred = self.offered_again
            return
        self.deferred = self._deliveries.open(lane, message)
