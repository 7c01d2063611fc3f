"""Receipts that tasks can wait for."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import partial

from snakemq._settings import zero_or_more
from snakemq.callbacks import check_callback
from snakemq.messaging import Receipt as MessagingReceipt
from snakemq.messaging import ReceiptState

from ._drivers import Driver


class Receipt:
    """What :meth:`Peer.send` returns. It tells what has come of the message.

    For the event loop of the peer only. The receipt of the layer below, :attr:`raw`, is
    thread-safe.
    """

    __slots__ = ("_driver", "raw")

    def __init__(self, raw: MessagingReceipt, driver: Driver) -> None:
        #: The receipt of :meth:`snakemq.messaging.Messaging.post`.
        self.raw: MessagingReceipt = raw
        self._driver = driver

    @property
    def ident(self) -> str:
        """The peer that the message is for."""
        return self.raw.ident

    @property
    def uuid(self) -> bytes:
        """The uuid of the message, 16 bytes."""
        return self.raw.uuid

    @property
    def state(self) -> ReceiptState:
        """How far the message has come."""
        return self.raw.state

    @property
    def is_done(self) -> bool:
        """Is this an end, after which the state does not change?"""
        return self.raw.is_done

    @property
    def error(self) -> Exception | None:
        """Why the message has ended without being delivered, see
        :attr:`snakemq.messaging.Receipt.error`."""
        return self.raw.error

    async def wait(
        self, timeout: float | None = None, until: ReceiptState = ReceiptState.DELIVERED
    ) -> None:
        """Wait until the message is ``DELIVERED``, or at least ``SENT`` or ``QUEUED``.

        ``timeout``: seconds; ``None``: forever. To cancel this ends the waiting only: the message
        goes on. Raises what :meth:`snakemq.messaging.Receipt.wait` does: :exc:`Dropped`,
        :exc:`Unconfirmed`, ``TimeoutError`` and others.
        """
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        if self.raw.reached(until):
            return
        try:
            async with asyncio.timeout(timeout):
                await self._wait(until)
        except TimeoutError:
            if self.raw.reached(until):
                return
            raise TimeoutError(
                f"the message is {self.state.value}, not {until.value}, after {timeout:g} s"
            ) from None

    async def _wait(self, until: ReceiptState) -> None:
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[None] | None = None

        def tell() -> None:
            if changed is not None and not changed.done():
                changed.set_result(None)

        unwatch = self.raw.watch(partial(self._driver.post, tell))
        try:
            while not self.raw.reached(until):
                changed = loop.create_future()
                if self.raw.reached(until):  # it was not there yet to be told
                    return
                await changed
        finally:
            unwatch()

    def add_done_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Have ``callback(receipt)`` called in the event loop when the state is an end; soon if it
        is one already. What it raises goes to the exception handler of the event loop. Raises
        ``TypeError`` for something that cannot be a callback."""
        check_callback(callback)
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        call = partial(loop.call_soon, callback, self, context=context)
        self.raw.add_done_callback(lambda raw: self._driver.post(call))

    def __repr__(self) -> str:
        return f"<Receipt {self.uuid.hex()} for {self.ident!r}: {self.state.value}>"
