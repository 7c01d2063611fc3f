"""Iterating over received messages."""

from __future__ import annotations

import asyncio
from types import TracebackType

from snakemq._settings import zero_or_more
from snakemq.messaging import Retry

from ._received import ReceivedMessage
from ._row import Row


class Messages:
    """The received messages, one after another: an asynchronous iterator, see
    :meth:`Peer.messages`.

    It may be used as a context manager. Then it is known for certain how a loop has ended: after
    ``break``, the last message is acknowledged.
    """

    def __init__(self, row: Row, timeout: float | None) -> None:
        self._current: ReceivedMessage | None = None  # first, because __del__ reads it
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        self._row = row
        self._timeout = timeout

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> ReceivedMessage:
        current = self._current
        if current is not None:
            self._current = None
            current.turn_ends(None)
        # Nothing waits between taking a message and returning it: cancelled, it takes none.
        message = self._row.take()
        if message is None:
            message = await self._next()
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
        # The body has raised, was cancelled, or was left by break or return. Python tells only the
        # cancellation from the others: its task says so.
        if self._current is not None:
            self._turn_ends(asyncio.CancelledError() if _is_being_cancelled() else Retry())

    def _turn_ends(self, error: BaseException | None) -> None:
        message, self._current = self._current, None
        if message is not None:
            message.turn_ends(error)


def _is_being_cancelled() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # the event loop has ended, and collects what is left
        return True
    return task is not None and task.cancelling() > 0
