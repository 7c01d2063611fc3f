"""Sending, which waits for room."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from snakemq.exceptions import QueueFull, SnakeMQException
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiptState
from snakemq.peer._codecs import Codecs
from snakemq.peer._sending import Outgoing as Sender
from snakemq.peer._sending import Terms

from ._drivers import Driver
from ._receipts import Receipt

MOST_UNSTORED = 32 << 20
"""Bytes of the messages that may be on their way to the storage at once. Further ones wait. It is
half of :data:`snakemq.messaging.MAX_UNSTORED_BYTES`, which others may use, too."""

COST = 512
"""Bytes that count for each message beside its data, as in messaging."""

LOOK_AGAIN = 0.5
"""Seconds after which a message is posted again although nobody has said that there is room:
nobody does when it was the storage that had too much to do."""

TURN = 64
"""Messages after which a task that only sends lets others have their turn."""


class Outgoing(Sender):
    """Makes messages and sends them. For the thread of the event loop."""

    def __init__(self, messaging: Messaging, codecs: Codecs, driver: Driver, limited: bool) -> None:
        """``limited``: are there limits of the queues?"""
        super().__init__(messaging, codecs)
        self._post = messaging.post
        self._driver = driver
        self._limited = limited
        self._sent = 0
        self._gate = Gate()
        self._full = FullQueues(messaging, driver)

    async def deliver(
        self, ident: str, value: Any, terms: Terms, until: ReceiptState = ReceiptState.QUEUED
    ) -> Receipt:
        """See :meth:`Peer.send`."""
        message = self.message(value, terms)
        if self.is_kept(message):
            receipt = await self._store(ident, message)
        elif self._limited:
            receipt = await self._queue(ident, message)
        else:
            # It waits in memory, where there is always room: so it is as good as queued.
            self._driver.expect()
            receipt = Receipt(self._post(ident, message), self._driver)
            if receipt.error is not None:
                raise receipt.error
            self._sent += 1
            if self._sent % TURN == 0:
                await asyncio.sleep(0)
        if until is not ReceiptState.QUEUED:
            await receipt.wait(until=until)
        return receipt

    async def broadcast_to(
        self, idents: Iterable[str], value: Any, terms: Terms
    ) -> dict[str, Receipt]:
        """See :meth:`Peer.broadcast`."""
        first = self.message(value, terms)
        receipts: dict[str, Receipt] = {}
        for ident in idents:
            copy = Message(first.data, first.ttl, first.flags, None, first.headers)
            receipts[ident] = Receipt(self._post(ident, copy), self._driver)
        for receipt in receipts.values():
            with suppress(SnakeMQException):  # the receipt tells
                await receipt.wait(until=ReceiptState.QUEUED)
        return receipts

    async def _store(self, ident: str, message: Message) -> Receipt:
        cost = COST + len(message.data)
        await self._gate.enter(cost)
        try:
            return await self._queue(ident, message)
        finally:
            self._gate.leave(cost)

    async def _queue(self, ident: str, message: Message) -> Receipt:
        """Post a message, again and again while its queue is full. The first who waits goes
        first."""
        if not self._full.has_line(ident):
            receipt = await self._try(ident, message)
            if receipt is not None:
                return receipt
        async with self._full.line(ident):
            while True:
                room = self._full.room(ident)
                receipt = await self._try(ident, message)
                if receipt is not None:
                    return receipt
                await asyncio.wait([room], timeout=LOOK_AGAIN)

    async def _try(self, ident: str, message: Message) -> Receipt | None:
        self._driver.expect()
        receipt = Receipt(self._post(ident, message), self._driver)
        try:
            await receipt.wait(until=ReceiptState.QUEUED)
        except QueueFull:
            return None
        return receipt


class FullQueues:
    """Lets tasks wait in line until there is room in a queue."""

    def __init__(self, messaging: Messaging, driver: Driver) -> None:
        self._driver = driver
        self._lines: dict[str, tuple[asyncio.Lock, set[object]]] = {}
        """For each queue, what the first in line holds, and all that are in it."""
        self._rooms: dict[str, asyncio.Future[None]] = {}
        messaging.on_room.add_internal(self._on_room)

    def has_line(self, ident: str) -> bool:
        """Does anybody wait for room in this queue?"""
        return ident in self._lines

    @asynccontextmanager
    async def line(self, ident: str) -> AsyncIterator[None]:
        """Wait to be the first in line for a queue, and be that."""
        lock, members = self._lines.setdefault(ident, (asyncio.Lock(), set()))
        member = object()
        members.add(member)
        try:
            async with lock:
                yield
        finally:
            members.discard(member)
            if not members:
                del self._lines[ident]
                self._rooms.pop(ident, None)

    def room(self, ident: str) -> asyncio.Future[None]:
        """Return a future that is done when there is room again, from now on. For the first in
        line."""
        room = self._rooms[ident] = asyncio.get_running_loop().create_future()
        return room

    def _on_room(self, ident: str) -> None:
        if ident in self._rooms:
            self._driver.post(partial(self._there_is_room, ident))

    def _there_is_room(self, ident: str) -> None:
        room = self._rooms.get(ident)
        if room is not None and not room.done():
            room.set_result(None)


class Gate:
    """Bounds the bytes of messages that wait for the storage. The first who waits goes first."""

    def __init__(self) -> None:
        self._inside = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, cost: int) -> None:
        """Wait until there is room, and take it. One message always has room when it is alone."""
        if not self._waiting and self._has_room(cost):
            self._inside += cost
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((cost, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(cost)  # it was let in at the same moment
            raise

    def leave(self, cost: int) -> None:
        """Give room back."""
        self._inside -= cost
        while self._waiting:
            next_cost, turn = self._waiting[0]
            if not turn.done():
                if not self._has_room(next_cost):
                    return
                self._inside += next_cost
                turn.set_result(None)
            self._waiting.popleft()

    def _has_room(self, cost: int) -> bool:
        return not self._inside or self._inside + cost <= MOST_UNSTORED
