"""Processing messages with several tasks at once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable

from snakemq.messaging import Reject, Retry

from ._received import ReceivedMessage
from ._row import Row

Handler = Callable[[ReceivedMessage], Awaitable[object]]

_log = logging.getLogger("snakemq.aio")


async def process(
    row: Row, handler: Handler, concurrency: int, ordered: bool, running: set[asyncio.Task[None]]
) -> None:
    """See :meth:`Peer.process`. ``running``: the tasks of all handlers, for the end of the peer."""
    workers = _Workers(row, handler, concurrency, ordered, running)
    async with asyncio.TaskGroup() as tasks:
        try:
            while not row.is_over:
                await workers.free()
                message = row.take()
                if message is not None:
                    workers.give(message, tasks)
                elif not row.is_over:
                    await row.changed()
        finally:
            workers.give_back()


class _NotAsync(Exception):
    """A handler has returned nothing that can be awaited."""


class _Workers:
    """Runs the handler, for as many messages at once as may be."""

    def __init__(
        self,
        row: Row,
        handler: Handler,
        concurrency: int,
        ordered: bool,
        running: set[asyncio.Task[None]],
    ) -> None:
        self._row = row
        self._handler = handler
        self._tasks = running
        self._concurrency = concurrency
        self._ordered = ordered
        self._running = 0
        self._one_is_done = asyncio.Event()
        self._behind: dict[str, deque[ReceivedMessage]] = {}
        """What has come after the message of a sender that is being processed, by its ident."""

    async def free(self) -> None:
        """Wait until one more message may be processed."""
        while self._running >= self._concurrency:
            self._one_is_done.clear()
            await self._one_is_done.wait()

    def give(self, message: ReceivedMessage, tasks: asyncio.TaskGroup) -> None:
        """Process a message, now or after those of its sender that came before."""
        ident = message.sender.ident
        if self._ordered:
            behind = self._behind.get(ident)
            if behind is not None:
                behind.append(message)
                return
            self._behind[ident] = deque()
        handling = self._handle(message)
        try:
            task = tasks.create_task(handling, name="snakemq-process")
        except RuntimeError:  # the group is ending, because a handler has raised a BaseException
            handling.close()
            message.turn_ends(asyncio.CancelledError())
            return
        self._running += 1
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, message, tasks))

    def give_back(self) -> None:
        """Release the messages whose turn has not come."""
        for behind in self._behind.values():
            self._release(behind)

    @staticmethod
    def _release(messages: deque[ReceivedMessage]) -> None:
        while messages:
            messages.popleft().turn_ends(asyncio.CancelledError())

    def _done(
        self, message: ReceivedMessage, tasks: asyncio.TaskGroup, task: asyncio.Task[None]
    ) -> None:
        message.turn_ends(asyncio.CancelledError())  # if it was cancelled before it began
        self._tasks.discard(task)
        self._running -= 1
        self._one_is_done.set()
        if self._ordered:
            behind = self._behind.pop(message.sender.ident)
            if self._row.is_over:
                self._release(behind)
            elif behind:
                following = behind.popleft()
                self.give(following, tasks)
                self._behind[following.sender.ident].extend(behind)

    async def _handle(self, message: ReceivedMessage) -> None:
        try:
            handled: object = self._handler(message)
            if not isawaitable(handled):
                raise _NotAsync(f"a handler is an async function, not {self._handler!r}")
            await handled
        except (Reject, Retry) as verdict:
            message.turn_ends(verdict)
        except _NotAsync as exc:
            message.turn_ends(asyncio.CancelledError())
            raise TypeError(str(exc)) from None
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                message.turn_ends(exc)
                raise
            # It has waited for something that was cancelled.
            self._has_raised(message, Retry())
        except Exception as exc:
            self._has_raised(message, exc)
        except BaseException as exc:
            message.turn_ends(exc)
            raise
        else:
            message.turn_ends(None)

    @staticmethod
    def _has_raised(message: ReceivedMessage, error: Exception) -> None:
        _log.exception("the handler has raised, %r is retried", message)
        message.turn_ends(error)
