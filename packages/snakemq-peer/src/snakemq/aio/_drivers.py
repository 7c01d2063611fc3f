"""Two ways to run the loop of a link beside an asyncio event loop."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from snakemq.link import Link
from snakemq.peer._loop_thread import LoopThread
from snakemq.peer._loop_thread import closed as _closed

from ._threads import in_thread

T = TypeVar("T")

_log = logging.getLogger("snakemq.aio")


class Driver(Protocol):
    """Runs the loop of a link until the link is cleaned up, and carries work between the loops."""

    def start(self) -> None:
        """Begin. In the thread of the event loop, which is running."""

    def call(self, func: Callable[[], T]) -> T:
        """Call a function in the loop of the link, wait for it, and return or raise what it does.
        In the thread of the event loop. Raises :exc:`PeerClosed`."""

    def post(self, func: Callable[[], object]) -> None:
        """Have a function called in the thread of the event loop: now if this is it, or else soon.
        Thread-safe. The function must not raise. It is forgotten if the event loop is closed."""

    def expect(self) -> None:
        """Say that something is about to be sent. In the thread of the event loop."""

    async def end(self) -> None:
        """Clean the link up, and wait until its loop has ended."""

    def abandon(self) -> None:
        """Clean the link up without an event loop, in any thread. Raises
        :exc:`~snakemq.exceptions.LoopError` if an event loop that it needs does not run."""


class Guest:
    """Makes the passes of the link in the thread of the event loop. There is no other thread, so
    nothing is handed over; but while the program keeps the event loop busy, no ping is answered.

    The event loop watches the file descriptor of the link, which is that of its poller.
    """

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        self._link = link
        self._loop = loop
        self._timer: asyncio.Handle | None = None
        self._due = math.inf
        self._fd: int | None = None
        self._is_in_pass = False
        self._is_over = False
        link.on_closed.add_internal(self._on_closed)

    def start(self) -> None:
        self._link.attach()
        try:
            fd = self._link.fileno()
            self._loop.add_reader(fd, self._begin_pass)
            self._fd = fd
        except BaseException:
            self._link.detach()
            raise
        self._begin_pass()

    def call(self, func: Callable[[], T]) -> T:
        if self._is_over:
            raise _closed()
        return func()

    def post(self, func: Callable[[], object]) -> None:
        if self._link.in_loop():
            func()
        else:
            with suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(func)

    async def end(self) -> None:
        self._link.cleanup()
        self._detach()

    def abandon(self) -> None:
        self._link.cleanup()
        if self._link.in_loop():
            self._detach()

    def _on_closed(self) -> None:
        # After the pass in which this happens, as the link needs its poller until then.
        with suppress(RuntimeError):  # the event loop is closed, see abandon()
            self._loop.call_soon_threadsafe(self._detach)

    def expect(self) -> None:
        if not self._is_in_pass and not self._is_over:
            self._is_in_pass = True
            self._link.begin_pass(poll=False)
            self._loop.call_soon(self._end_pass)

    def _begin_pass(self) -> None:
        if not self._is_over:
            self._link.begin_pass()
            if not self._is_in_pass:
                # The tasks that this has woken run first, and what they send goes out together.
                self._is_in_pass = True
                self._loop.call_soon(self._end_pass)

    def _end_pass(self) -> None:
        self._is_in_pass = False
        if self._is_over:
            return
        if not self._link.end_pass():
            self._link.cleanup()
            self._detach()
            return
        due = self._link.next_deadline()
        if due is not None and due < self._due:
            self._plan(due)

    def _plan(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        delay = due - self._link.time()  # the event loop may have a clock of its own
        if delay > 0:
            self._timer = self._loop.call_later(delay, self._on_time)
        else:
            self._timer = self._loop.call_soon(self._on_time)

    def _on_time(self) -> None:
        self._timer, self._due = None, math.inf
        self._begin_pass()

    def _detach(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._fd is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._link.detach()


class Host:
    """Runs the loop of the link in a thread of its own. Pings, acknowledgements and reconnections
    go on while the program keeps the event loop busy; what arrives is handed over in bursts."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._link = link
        self._thread = LoopThread(link, name)
        self._posted: deque[Callable[[], object]] = deque()
        self._is_called = False

    def start(self) -> None:
        self._thread.start()

    def call(self, func: Callable[[], T]) -> T:
        # This blocks the event loop for one pass of the link, and for the callbacks of the user in
        # it. It is done for what is set up once.
        return self._thread.call(func)

    def post(self, func: Callable[[], object]) -> None:
        self._posted.append(func)
        # Read after the append: either this finds it cleared, or that finds the function.
        if not self._is_called:
            self._is_called = True
            with suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(self._do_posted)

    def expect(self) -> None:
        pass

    async def end(self) -> None:
        await in_thread(self._loop, self._end)

    def abandon(self) -> None:
        self._end()

    def _end(self) -> None:
        self._link.cleanup()
        self._thread.join(10.0)

    def _do_posted(self) -> None:
        self._is_called = False
        posted = self._posted
        for _ in range(len(posted)):
            try:
                posted.popleft()()
            except Exception:  # the others must not suffer from it
                _log.exception("a function that was posted has raised")
