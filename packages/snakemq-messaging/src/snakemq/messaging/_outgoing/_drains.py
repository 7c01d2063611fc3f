"""Waiting until everything is acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from snakemq.exceptions import LoopError
from snakemq.link import Abilities, LinkInterface

from .._errands import Errands
from ._queue._queue import OutgoingQueue
from ._table import QueueTable


class Drain:
    """One thread that waits."""

    __slots__ = ("busy", "ended", "everybody", "has_given_up", "idents")

    def __init__(self, everybody: bool) -> None:
        self.everybody = everybody
        self.ended = threading.Event()
        self.has_given_up = False
        self.idents: set[str] = set()
        """The connected peers that it has waited for."""
        self.busy: list[Callable[[], bool]] = []
        """Each tells whether something, which was not done when the loop looked around, is to be
        waited for still."""


class Drains:
    """The threads that wait for the queues to become empty.

    While there is one, the loop looks at the end of each of its passes, but only at one thing that
    was not done yet. When that is done it goes on to the next one, and at last looks around again.
    """

    def __init__(
        self,
        link: LinkInterface,
        queues: QueueTable,
        errands: Errands,
        owed_acks: Callable[[], Iterable[Callable[[], bool]]],
    ) -> None:
        """``owed_acks()``: for each peer to which this side owes an ack, a function that tells
        whether it still does."""
        self._link = link
        self._wait_until = Abilities(link).wait_until
        self._queues = queues
        self._errands = errands
        self._owed_acks = owed_acks
        self._drains: list[Drain] = []
        self._is_over = False

    # -- from any thread

    def drain(self, timeout: float | None, everybody: bool) -> int:
        """See :meth:`Messaging.drain`."""
        if self._link.in_loop():
            raise LoopError(
                "the loop cannot wait for itself: call drain() in another thread, which a callback"
                " or a signal handler may start"
            )
        drain = Drain(everybody)
        self._errands.give(lambda: self._begin(drain))
        try:
            if not self._is_over:  # it is set before end() looks at what waits
                if self._wait_until is None:
                    drain.ended.wait(timeout)
                else:
                    self._wait_until(drain.ended.is_set, timeout)
        finally:
            drain.has_given_up = True  # the loop forgets it in its next pass
        return sum(
            _size(queue)
            for queue in self._queues
            if everybody or queue.lane is not None or queue.ident in drain.idents
        )

    # -- in the loop

    def _begin(self, drain: Drain) -> None:
        if self._is_over or self._is_done(drain):
            drain.ended.set()
            return
        if not self._drains:
            self._link.on_loop_pass.add_internal(self._look)
        self._drains.append(drain)

    def _look(self) -> None:
        for drain in self._drains.copy():
            if drain.has_given_up or self._is_done(drain):
                self._drains.remove(drain)
                drain.ended.set()
        if not self._drains:
            self._link.on_loop_pass.remove(self._look)

    def _is_done(self, drain: Drain) -> bool:
        busy = drain.busy
        while True:
            while busy:
                if busy[-1]():
                    return False
                busy.pop()
            busy.extend(self._look_around(drain))
            if not busy:
                return True

    def _look_around(self, drain: Drain) -> Iterable[Callable[[], bool]]:
        for queue in self._queues:
            if queue.lane is not None:
                drain.idents.add(queue.ident)
            if self._is_busy(queue.ident, drain.everybody):
                yield partial(self._is_busy, queue.ident, drain.everybody)
        yield from self._owed_acks()

    def _is_busy(self, ident: str, everybody: bool) -> bool:
        queue = self._queues.known(ident)
        if queue is None:
            return False
        if everybody:
            return bool(queue)
        # Without a new connection, what is too large for the peer stays where it is.
        return queue.lane is not None and bool(
            queue.in_flight or queue.large or queue.has_more() or queue.unstored
        )

    def end(self) -> None:
        """Wake up all threads: the link is gone."""
        self._is_over = True
        drains, self._drains = self._drains, []
        for drain in drains:
            drain.ended.set()
        self._errands.run()


def _size(queue: OutgoingQueue) -> int:
    return len(queue) + len(queue.in_flight) + len(queue.incoming)
