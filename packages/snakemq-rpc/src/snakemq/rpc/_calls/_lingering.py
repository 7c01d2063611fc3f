"""Waiting for a lock that will be released soon, without sleeping."""

from __future__ import annotations

import os
import sys
import threading
import time

SOON = 200e-6
"""Seconds. Nobody lingers for longer, nor at all after a wait that took longer."""

FEW_LOOKS = 3
"""If it looks no more often, others have had the CPU meanwhile."""

REST = 16
"""Waits without lingering after that has happened twice in a row. Once it may be the loop."""


class Lingering:
    """Decides how a thread waits for a reply, and waits.

    A thread that sleeps lets its CPU sleep as well, and both take their time to wake up: 28 of the
    95 us that a call takes between two processes that are bound to a CPU each. To linger instead is
    to let whoever wants the CPU have it, and to look again, and again. It takes 20 us of CPU time
    more for a call, on a CPU that has nothing else to do. So it is done by one thread at a time, if

    - the process was bound to one CPU when its client was made. Otherwise the loop may run on
      another one, and both want the GIL: a call takes 112 us then instead of 92.
    - nobody else wants this CPU. The scheduler lets who lingers wait for all the others, and then
      interrupts it for the next one: 86 us instead of 77.
    - the last wait was short.
    """

    def __init__(self) -> None:
        self._is_bound = _is_bound_to_one_cpu()
        self._may_linger = self._is_bound
        self._rest = 0
        self._was_crowded = False

    def wait(self, done: threading.Lock, timeout: float | None) -> bool:
        """Acquire a lock; False: not within ``timeout`` seconds, None: no limit. Thread-safe."""
        if not self._is_bound:
            return _sleep(done, timeout)
        began = time.monotonic()
        if self._may_linger and (timeout is None or timeout > SOON):
            self._may_linger = False  # nobody else meanwhile; two at a time would do no harm
            if self._linger(done, began):
                self._may_linger = self._rest <= 0
                return True
        in_time = _sleep(done, timeout)
        if self._rest > 0:
            self._rest -= 1
        else:
            self._may_linger = time.monotonic() - began < SOON
        return in_time

    def _linger(self, done: threading.Lock, began: float) -> bool:
        end = began + SOON
        looks = 0
        while True:
            os.sched_yield()
            looks += 1
            if done.acquire(blocking=False):
                is_crowded = looks <= FEW_LOOKS
                if is_crowded and self._was_crowded:
                    self._rest = REST
                self._was_crowded = is_crowded
                return True
            if time.monotonic() >= end:
                return False


def _sleep(done: threading.Lock, timeout: float | None) -> bool:
    if timeout is None:
        return done.acquire()
    return done.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))


def _is_bound_to_one_cpu() -> bool:
    if sys.platform != "linux":  # others do not tell, or do not let go of a CPU
        return False
    return len(os.sched_getaffinity(os.getpid())) == 1  # of the main thread, not of this one
