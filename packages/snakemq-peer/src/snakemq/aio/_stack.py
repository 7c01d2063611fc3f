"""The layers of a peer beside an event loop, and in which order they end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from snakemq.exceptions import LoopError
from snakemq.identity import Identity
from snakemq.link import Link, forks
from snakemq.peer._arrivals import Arrivals
from snakemq.peer._layers import Layers
from snakemq.peer._loop_thread import closed
from snakemq.peer._options import Options
from snakemq.peer._received import Desk

from . import _signals
from ._drivers import Driver
from ._row import Row
from ._sending import Outgoing
from ._threads import in_thread

if TYPE_CHECKING:
    from ._remote import AsyncCalls, MethodTasks

LAST_WAIT = 1.0
"""Seconds that cancelled handlers and methods have to end, so that their peers hear of it."""

MakeDriver = Callable[[Link, asyncio.AbstractEventLoop], Driver]


class Stack:
    """All that an open peer consists of. For the thread of its event loop."""

    def __init__(
        self,
        layers: Layers,
        options: Options,
        make_driver: MakeDriver,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.layers = layers
        self.loop = loop
        self.link = layers.link
        self.messaging = messaging = layers.messaging
        self.presence = layers.presence
        self.driver = driver = make_driver(layers.link, loop)
        limited = options.queue_limits is not None
        self.outgoing = Outgoing(messaging, layers.codecs, driver, limited)
        self.row = Row(Desk(messaging, self.outgoing, layers.codecs), driver, loop)
        self.arrivals = Arrivals(messaging, layers.presence, self.row.put)
        self.calls: AsyncCalls | None = None
        self.methods: MethodTasks | None = None
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when the link is gone, for whatever reason."""
        self.end_is_wanted: asyncio.Future[None] = loop.create_future()
        """Done when nobody needs to wait in :meth:`Peer.run` any more."""
        self.handlers: set[asyncio.Task[None]] = set()
        """Those that :meth:`Peer.process` runs."""
        self._hurried: asyncio.Future[None] = loop.create_future()
        self._call_timeout = options.call_timeout
        self._awaited: dict[str, set[asyncio.Future[None]]] = {}
        self._is_closing = False
        self._forks = forks.count
        self._is_closed = asyncio.Event()
        messaging.on_admitted.add_internal(self._on_admitted)
        layers.link.on_closed.add_internal(partial(driver.post, self._link_is_gone))

    def check_open(self) -> None:
        """Raise :exc:`PeerClosed` if the end has begun, ``RuntimeError`` in another event loop."""
        if self._is_closing or self.ended.done():
            raise closed()
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError("this peer belongs to the event loop in which it was entered")

    def want_end(self) -> None:
        """Let :meth:`Peer.run` return."""
        _done(self.end_is_wanted)

    # -- who is there

    async def wait_for(self, ident: str, timeout: float | None) -> Identity:
        """See :meth:`Peer.wait_for`."""
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._wait_for(ident)
        except TimeoutError:
            if timeout is None or not limit.expired():
                raise
            raise self.presence.absent(ident, timeout) from None

    async def _wait_for(self, ident: str) -> Identity:
        while True:
            came: asyncio.Future[None] = self.loop.create_future()
            waiting = self._awaited.setdefault(ident, set())
            waiting.add(came)
            try:
                found = self.presence.find(ident)  # who comes after this look is told
                if found is not None:
                    return found
                await came
            finally:
                waiting.discard(came)
                if not waiting and self._awaited.get(ident) is waiting:
                    del self._awaited[ident]

    def _on_admitted(self, conn_id: str, ident: str) -> None:
        if ident in self._awaited:
            self.driver.post(partial(self._tell, ident))

    def _tell(self, ident: str) -> None:
        for came in self._awaited.get(ident, ()):
            if not came.done():
                came.set_result(None)

    # -- remote calls

    def prepare_calls(self) -> None:
        """Import what makes and serves calls. In the thread and the context in which async methods
        are to run. Raises ``ModuleNotFoundError``."""
        if self.methods is None:
            from ._remote import MethodTasks

            self.methods = MethodTasks(self.driver, self.loop)

    def get_calls(self) -> AsyncCalls:
        """Return what makes and serves calls. In the loop of the link."""
        if self.calls is None:
            from ._remote import AsyncCalls

            assert self.methods is not None
            self.calls = AsyncCalls(self.messaging, self.arrivals, self._call_timeout, self.methods)
        return self.calls

    # -- the end

    async def close(self, timeout: float) -> None:
        """See :meth:`Peer.close`."""
        if self._forks != forks.count:
            return
        if self._is_closing:
            await self._is_closed.wait()
            return
        self._is_closing = True
        end = self.loop.time() + timeout
        try:
            self.row.end()
            self._end_waits()
            await self._wait_for_tasks(self.handlers - {asyncio.current_task()}, end)
            await self._drain(max(0.0, end - self.loop.time()))
        finally:
            await self._end()

    async def _wait_for_tasks(self, tasks: Collection[asyncio.Task[None]], end: float) -> None:
        """Let these tasks finish, in the time that is left, unless the user is in a hurry."""
        left = end - self.loop.time()
        if tasks and left > 0 and not self._hurried.done():
            waiting: set[asyncio.Future[None]] = {*tasks, self._hurried}
            while len(waiting) > 1 and self._hurried in waiting and left > 0:
                _, waiting = await asyncio.wait(
                    waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                left = end - self.loop.time()

    async def _drain(self, timeout: float) -> None:
        """Wait until the methods that run have ended, and what was sent is acknowledged.

        Cancelled, or hurried, it leaves its thread to the end of the link.
        """
        if self.ended.done() or timeout <= 0:
            return
        drained: asyncio.Future[None] = self.loop.create_future()
        # A method that closes its peer does not wait for itself.
        methods = None if self._is_in_method() else self.calls

        def drain() -> None:
            end = self.link.time() + timeout
            try:
                with contextlib.suppress(LoopError):  # the link was cleaned up
                    if methods is not None:
                        methods.drain(timeout)
                    self.messaging.drain(max(0.0, end - self.link.time()))
            finally:
                self.driver.post(partial(_done, drained))

        threading.Thread(target=drain, name="snakemq-drain", daemon=True).start()
        await asyncio.wait([drained, self._hurried], return_when=asyncio.FIRST_COMPLETED)

    def _is_in_method(self) -> bool:
        return self.methods is not None and self.methods.is_current

    async def _end(self) -> None:
        # From the last to the first; each is done even if those before it raise.
        async with contextlib.AsyncExitStack() as steps:
            steps.callback(_signals.unlisten, self.loop, self.on_signal)
            steps.callback(self._is_closed.set)
            steps.push_async_callback(in_thread, self.loop, self._close_storages)
            steps.callback(self.layers.report_what_is_lost)
            if self.calls is not None:
                steps.callback(self.calls.end)
            steps.push_async_callback(self.driver.end)
            steps.push_async_callback(self._cancel_tasks)

    async def _cancel_tasks(self) -> None:
        tasks = self.handlers - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if self.methods is not None:
            tasks |= self.methods.cancel()  # their callers hear of it while there is a link
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WAIT)

    def on_signal(self) -> None:
        """End :meth:`Peer.run`; and if that has ended, let :meth:`close` wait no longer."""
        if self.end_is_wanted.done():
            _done(self._hurried)
        self.want_end()

    @property
    def needs_no_close(self) -> bool:
        """Is it closed, or being closed, or did it come here through a fork?"""
        return self._is_closing or self.ended.done() or self._forks != forks.count

    def abandon(self) -> None:
        """Close everything without an event loop, and without waiting for anything."""
        if self.link.in_loop():
            self.driver.abandon()
            close = self._close_storages
        else:
            close = self._close_from_outside
        try:
            threading.Thread(target=close, name="snakemq-close", daemon=True).start()
        except RuntimeError:  # at the end of the process there are no more threads
            close()

    def _close_from_outside(self) -> None:
        with contextlib.suppress(LoopError):
            self.driver.abandon()
        self._close_storages()

    def _close_storages(self) -> None:
        try:
            self.messaging.close()
        finally:
            self.layers.storages.close()

    def _link_is_gone(self) -> None:
        self.row.end()
        self.want_end()
        _done(self.ended)
        self._end_waits()

    def _end_waits(self) -> None:
        for waiting in self._awaited.values():
            for came in waiting:
                if not came.done():
                    came.set_exception(closed())


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
