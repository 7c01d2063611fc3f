"""Cancels a coroutine at one of its suspensions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CancelledAt(Generic[T]):
    """An awaitable that runs a coroutine, and has the current task cancelled when the coroutine
    suspends itself for the n-th time, counted from 0.

    The coroutine sees it at once (``late=False``), or after what it waits for has happened, in the
    same turn of the event loop (``late=True``).
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], at: int, *, late: bool) -> None:
        self.suspensions = 0
        self._coroutine = coroutine
        self._at = at
        self._late = late

    def __await__(self) -> Generator[Any, Any, T]:
        task = asyncio.current_task()
        assert task is not None
        step = self._coroutine.send
        argument: Any = None
        while True:
            try:
                waits_for = step(argument)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if self.suspensions == self._at:
                self._cancel(task, waits_for)
            self.suspensions += 1
            try:
                argument = yield waits_for
                step = self._coroutine.send
            except BaseException as exc:
                argument, step = exc, self._coroutine.throw

    def _cancel(self, task: asyncio.Task[Any], waits_for: Any) -> None:
        if self._late and waits_for is not None:
            # Called before the task is woken up, as the task adds its callback later.
            waits_for.add_done_callback(lambda future: task.cancel())
        else:
            # In this turn of the event loop the task has not begun to wait yet.
            task.get_loop().call_soon(task.cancel)
