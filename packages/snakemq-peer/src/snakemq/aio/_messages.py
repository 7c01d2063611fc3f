"""Iterating over received messages."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType

from snakemq._settings import zero_or_more
from snakemq.messaging import Retry

from ._received import ReceivedMessage
from ._row import Row

TURN = 64
"""Messages after which a loop lets the others have their turn."""


class Messages:
    """The received messages, one after another: an asynchronous iterator, see
    :meth:`Peer.messages`.

    It may be used as a context manager. Then it is known how a loop has ended: after ``break``, the
    last message is acknowledged. (An exception that is caught within the block looks like that,
    too.)
    """

    def __init__(self, row: Row, timeout: float | None) -> None:
        self._current: ReceivedMessage | None = None  # first, because __del__ reads it
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        self._row = row
        self._timeout = timeout
        self._cancelling = 0.0
        """How many cancellations its task had not dealt with when it took the current message."""
        self._taken = 0

    def __aiter__(self) -> Messages:
        self._loop_was_left()  # it is used again
        return self

    async def __anext__(self) -> ReceivedMessage:
        current = self._current
        if current is not None:
            self._current = None
            current.turn_ends(None)
        self._taken += 1
        if self._taken % TURN == 0:
            await asyncio.sleep(0)  # a body that waits for nothing must not keep the others waiting
        # Nothing waits between taking a message and returning it: cancelled, it takes none.
        message = self._row.take()
        if message is None:
            message = await self._next()
        self._cancelling = _cancellations()
        self._current = message
        return message

    async def _next(self) -> ReceivedMessage:
        row = self._row
        try:
            async with asyncio.timeout(self._timeout):
                while (message := row.take()) is None:
                    if row.is_over:
                        raise StopAsyncIteration
                    await row.changed()
        except TimeoutError:
            raise StopAsyncIteration from None
        return message

    async def __aenter__(self) -> Messages:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._turn_ends(error)

    def __del__(self) -> None:
        self._loop_was_left()

    def _loop_was_left(self) -> None:
        # The body has raised, was cancelled, or was left by break or return. Python tells only the
        # cancellation from the others: its task says so.
        if self._current is not None:
            is_cancelled = _cancellations() > self._cancelling
            self._turn_ends(asyncio.CancelledError() if is_cancelled else Retry())

    def _turn_ends(self, error: BaseException | None) -> None:
        message, self._current = self._current, None
        if message is not None:
            message.turn_ends(error)


def _cancellations() -> float:
    """Return how many cancellations the current task has not dealt with."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # the event loop has ended, and what is left is collected
        return math.inf
    return 0 if task is None else task.cancelling()
