"""From the loop of the link to the tasks that process messages."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from snakemq.identity import Identity
from snakemq.message import Message
from snakemq.peer._received import Desk

from ._drivers import Driver
from ._received import ReceivedMessage


class Row:
    """The messages that have arrived and that no task has taken yet.

    The window of each sender bounds them: what is here is not acknowledged.
    """

    def __init__(self, desk: Desk, driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
        self.is_over: bool = False
        """Is the peer being closed? Then nothing is given out any more."""
        self._desk = desk
        self._driver = driver
        self._loop = loop
        self._arrived: deque[ReceivedMessage] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def put(self, message: Message, sender: Identity) -> None:
        """Add a message. In the loop of the link."""
        self._arrived.append(ReceivedMessage(message, sender, self._desk))
        if self._waiting:  # a task that begins to wait looks at the row afterwards
            self._driver.post(self._wake)

    # -- in the thread of the event loop

    def take(self) -> ReceivedMessage | None:
        """Return a message that is here now, if there is one."""
        if self._arrived and not self.is_over:
            return self._arrived.popleft()
        return None

    async def changed(self) -> None:
        """Wait until there is something to take, or the end. It takes nothing, so nothing is lost
        if this is cancelled. Others may be faster."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            if not self._arrived and not self.is_over:
                await waiter
        finally:
            if waiter.done() and not waiter.cancelled():
                self._wake()  # this task may be cancelled, or one of several that can go on
            else:
                with suppress(ValueError):  # it was about to be woken
                    self._waiting.remove(waiter)

    def end(self) -> None:
        """Give nothing out any more. What is still here comes again to the next process."""
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        """Wake as many as there is something for."""
        waiting = self._waiting
        wanted = len(waiting) if self.is_over else min(len(waiting), len(self._arrived))
        while waiting and wanted:
            waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                wanted -= 1
