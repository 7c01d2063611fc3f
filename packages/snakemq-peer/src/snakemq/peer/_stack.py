"""The layers of a peer and its threads, and in which order they end."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from snakemq.exceptions import LoopError
from snakemq.link import forks

from ._arrivals import Arrivals
from ._handling import Handler, HandlerThread
from ._iteration import Row
from ._layers import Layers
from ._loop_thread import LoopThread, closed
from ._options import Options
from ._received import Desk
from ._running import Ending, News


class Stack(Layers):
    """The layers of a peer with threads: one that runs the loop, and one for the handler."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        try:
            self.call_timeout = options.call_timeout
            self.close_timeout = options.close_timeout
            self.ending = Ending()
            self.row = self.make_row(Desk(self.messaging, self.outgoing, self.codecs))
            self.arrivals = Arrivals(self.messaging, self.presence, self.row.put)
            self.link.on_closed.add_internal(self._link_is_gone)
            self.handler: HandlerThread | None = None
            self._forks = forks.count
            self._lock = threading.Lock()
            self._is_closing = False
            self._is_closed = threading.Event()
            self.thread = LoopThread(self.link, f"snakemq-{options.ident}")
            self.thread.start()
        except BaseException:
            self.discard()
            raise

    def make_row(self, desk: Desk) -> Row:
        """Make the place where messages wait for threads. ``snakemq.testing`` makes its own."""
        return Row(desk)

    def check_open(self) -> None:
        """Raise :exc:`PeerClosed` if the end has begun."""
        if self._is_closing:
            raise closed()

    def handle(self, handler: Handler) -> None:
        """See :meth:`Peer.on_message`."""
        name = f"snakemq-{self.messaging.identifier}-handler"
        self.handler = HandlerThread(handler, self.row, self.link, name)

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
            steps.callback(self.report_what_is_lost)
            steps.callback(self._end_calls)
            steps.callback(lambda: self.thread.join(left()))
            steps.callback(self.link.cleanup)
            steps.callback(lambda: self.messaging.drain(left()))
            if self.handler is not None:
                steps.callback(lambda handler: handler.join(left()), self.handler)
            if self.calls is not None:  # its methods run beside the handler, until the same time
                steps.callback(lambda calls: calls.drain(left()), self.calls)
            steps.callback(self.presence.end)
            steps.callback(self.row.end)

    def _end_calls(self) -> None:
        if self.calls is not None:
            self.calls.end()

    def hurry(self) -> None:
        """Let :meth:`close` wait no longer for handlers, methods and acknowledgements."""
        if self.handler is not None:
            self.handler.hurry()
        self.link.cleanup()  # this ends the drains, too

    def _link_is_gone(self) -> None:
        """The link was cleaned up, perhaps by the user."""
        self.row.end()
        self.presence.end()
        if not self._is_closing:
            self.ending.tell(News.STOP)
