"""Blocking functions, which the end of a peer cannot do without."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(loop: asyncio.AbstractEventLoop, func: Callable[[], T]) -> T:
    """Call a function that blocks for a limited time, in a thread of its own.

    The default executor may be full of the user's work, which waits for what this ends. If this is
    cancelled, it still waits for the function, and raises ``CancelledError`` afterwards.
    """
    result: asyncio.Future[T] = loop.create_future()

    def tell(set_outcome: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(set_outcome)

    def run() -> None:
        try:
            value = func()
        except BaseException as exc:
            error = exc  # Python deletes the name `exc`
            tell(lambda: result.set_exception(error))
        else:
            tell(lambda: result.set_result(value))

    threading.Thread(target=run, name="snakemq-aio", daemon=True).start()
    cancelled: asyncio.CancelledError | None = None
    while not result.done():
        try:
            await asyncio.wait([result])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        result.exception()  # it counts as seen
        raise cancelled
    return result.result()
