"""Waits until everything that was taken is executed, and lets nothing new be taken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from snakemq.exceptions import LoopError
from snakemq.link import Abilities, LinkInterface

from ._coroutines import RunningCoroutines
from ._intake import Intake
from ._pool import WorkerPool

LOOK = 0.05
"""Seconds after which a thread looks again. Threads ring when they are done with a request, but the
loop does not."""


class Draining:
    """The end of the requests. Any thread may wait for it, except for that of the loop."""

    def __init__(
        self,
        link: LinkInterface,
        intake: Intake,
        pool: WorkerPool,
        coroutines: RunningCoroutines,
    ) -> None:
        self._link = link
        self._wait_until = Abilities(link).wait_until
        self._intake = intake
        self._pool = pool
        self._coroutines = coroutines
        self._is_over = False

    def drain(self, timeout: float | None) -> int:
        """See :meth:`RpcServer.drain`."""
        if self._link.in_loop():
            raise LoopError(
                "the loop cannot wait for methods, which need it to answer: call drain() in"
                " another thread"
            )
        # A method that waits for the others must not wait for itself.
        own = int(threading.get_ident() in self._pool.busy_threads())

        def is_done() -> bool:
            # In this order: what the loop is taking is pending when it has taken it.
            return self._is_over or (not self._intake.is_taking and self._pending() == own)

        self._intake.takes_no_more = True
        if self._wait_until is None:
            self._block(is_done, timeout)
        else:
            with self._pool.ringing(self._link.wakeup_poll):
                self._wait_until(is_done, timeout)
        return self._pending() - own

    def _pending(self) -> int:
        # In this order: an async method that a thread begins runs before that thread is done.
        return self._pool.pending + self._coroutines.count

    def end(self) -> None:
        """Let nobody wait any longer: the server or its link is closed."""
        self._is_over = True
        self._pool.ring()

    def _block(self, is_done: Callable[[], bool], timeout: float | None) -> None:
        end = None if timeout is None else monotonic() + timeout
        bell = threading.Event()
        with self._pool.ringing(bell.set):
            while not is_done():
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    return
                bell.wait(LOOK if left is None else min(left, LOOK))
                bell.clear()
