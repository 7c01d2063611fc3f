"""The layers below a peer: how they are put together, and in which order they end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from snakemq.exceptions import LoopError
from snakemq.identity import Authenticator
from snakemq.link import Link, forks
from snakemq.messaging import Messaging, QueueLimits
from snakemq.packeter import Packeter
from snakemq.policy import Policy
from snakemq.queues import InboxStorage

from ._codecs import Codec, Codecs
from ._handling import Handler, HandlerThread
from ._iteration import Arrivals
from ._loop_thread import LoopThread, closed
from ._presence import Presence
from ._received import Desk
from ._running import Ending, News
from ._sending import Outgoing
from ._storages import AnyStorage, Storages

if TYPE_CHECKING:
    from ._rpc import Calls

_log = logging.getLogger("snakemq.peer")


class Stack:
    """All that a peer consists of. It does not know the :class:`Peer`, which may be forgotten while
    the loop still runs."""

    MessagingType: type[Messaging] = Messaging

    def __init__(
        self,
        ident: str,
        *,
        storage: AnyStorage | None,
        inbox: InboxStorage | str | None,
        dead_letters: AnyStorage | None,
        authenticator: Authenticator | None,
        policy: Policy | None,
        queue_limits: QueueLimits | None,
        keepalive_interval: float | None,
        keepalive_wait: float,
        call_timeout: float | None,
        close_timeout: float,
        codecs: Iterable[Codec],
    ) -> None:
        known = Codecs(codecs)
        with ExitStack() as undo:
            self.storages = storages = Storages()
            undo.callback(storages.close)
            self.link = link = self.make_link()
            undo.callback(link.cleanup)
            self.messaging = messaging = self.MessagingType(
                ident,
                "",
                Packeter(link),
                storages.get(storage),
                inbox=storages.inbox(inbox),
                dead_letters=storages.get(dead_letters),
                authenticator=authenticator,
                policy=policy,
                manual_ack=True,
                queue_limits=queue_limits,
                keepalive_interval=keepalive_interval,
                keepalive_wait=keepalive_wait,
            )
            self.call_timeout = call_timeout
            self.close_timeout = close_timeout
            self.ending = Ending()
            self.outgoing = Outgoing(messaging, known)
            self.presence = Presence(messaging)
            desk = Desk(messaging, self.outgoing, known)
            self.arrivals = self.make_arrivals(desk)
            link.on_connect_failed.add_internal(self.presence.connect_failed)
            link.on_closed.add_internal(self._link_is_gone)
            self.handler: HandlerThread | None = None
            self.calls: Calls | None = None
            self._forks = forks.count
            self._lock = threading.Lock()
            self._is_closing = False
            self._is_closed = threading.Event()
            self.thread = LoopThread(link, f"snakemq-{ident}")
            self.thread.start()
            undo.pop_all()

    def make_link(self) -> Link:
        """Make the link. ``snakemq.testing`` makes one in memory."""
        return Link()

    def make_arrivals(self, desk: Desk) -> Arrivals:
        """Make the place where messages wait for threads."""
        return Arrivals(self.messaging, self.presence, desk)

    def check_open(self) -> None:
        """Raise :exc:`PeerClosed` if the end has begun."""
        if self._is_closing:
            raise closed()

    def handle(self, handler: Handler) -> None:
        """See :meth:`Peer.on_message`."""
        name = f"snakemq-{self.messaging.identifier}-handler"
        self.handler = HandlerThread(handler, self.arrivals, self.link, name)

    # -- the end

    @property
    def is_closed(self) -> bool:
        """Has the end come?"""
        return self._is_closed.is_set()

    @property
    def needs_no_close(self) -> bool:
        """Is it closed, or being closed, or did it come here through a fork?"""
        return self._is_closing or self._forks != forks.count

    def close(self, timeout: float) -> None:
        """See :meth:`Peer.close`."""
        if self._forks != forks.count:
            return
        if self.link.in_loop():
            raise LoopError(
                "close() waits for the loop, and this is the thread that runs it: call stop(), or"
                " close() in another thread"
            )
        with self._lock:
            is_first, self._is_closing = not self._is_closing, True
        if is_first:
            self._close(self.link.time() + timeout)
        elif self.handler is None or not self.handler.is_current:
            self._is_closed.wait(timeout)

    def _close(self, end: float) -> None:
        def left() -> float:
            return max(0.0, end - self.link.time())

        # From the last to the first; each is done even if those before it raise.
        with ExitStack() as steps:
            steps.callback(self.ending.tell, News.CLOSED)
            steps.callback(self._is_closed.set)
            steps.callback(self.storages.close)
            steps.callback(self.messaging.close)
            steps.callback(self._report_what_is_lost)
            steps.callback(lambda: self.thread.join(left()))
            steps.callback(self.link.cleanup)
            steps.callback(lambda: self.messaging.drain(left()))
            if self.handler is not None:
                steps.callback(lambda handler: handler.join(left()), self.handler)
            if self.calls is not None:  # its methods run beside the handler, until the same time
                steps.callback(lambda calls: calls.drain(left()), self.calls)
            steps.callback(self.presence.end)
            steps.callback(self.arrivals.end)

    def hurry(self) -> None:
        """Let :meth:`close` wait no longer for handlers, methods and acknowledgements."""
        if self.handler is not None:
            self.handler.hurry()
        self.link.cleanup()  # this ends the drains, too

    def _report_what_is_lost(self) -> None:
        if self.messaging.queues_storage is not None:
            return  # it keeps what is left
        for ident, peer in self.messaging.stats().peers.items():
            if left := peer.queued + peer.in_flight:
                _log.warning("closed before %r had acknowledged %d messages", ident, left)

    def _link_is_gone(self) -> None:
        """The link was cleaned up, perhaps by the user."""
        self.arrivals.end()
        self.presence.end()
        if not self._is_closing:
            self.ending.tell(News.STOP)
