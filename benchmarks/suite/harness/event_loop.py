"""For sides that are coroutines: the event loop they run in, and calls that are awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine

from .role import WARM_UP, Role, finish_calls


def play(role: Role, side: Callable[[Role], Coroutine[object, object, None]]) -> None:
    """Run a side in an event loop: that of asyncio, or uvloop if the setting ``uvloop`` is true."""
    if role.settings.get("uvloop"):
        import uvloop

        uvloop.run(side(role))
    else:
        asyncio.run(side(role))


async def stay() -> None:
    """Nothing is left to do, but the event loop goes on; the stage ends this process."""
    await asyncio.Event().wait()


async def time_awaited_calls(role: Role, call: Callable[[int, int], Awaitable[int]]) -> None:
    """``callers`` tasks at once, each with one call after another; how long each call took."""
    for _ in range(WARM_UP):
        assert await call(1, 2) == 3
    took = []
    clock = time.perf_counter

    async def caller(count: int) -> None:
        for _ in range(count):
            began = clock()
            await call(1, 2)
            took.append(clock() - began)

    role.meet()
    await asyncio.gather(*(caller(role.count // role.callers) for _ in range(role.callers)))
    finish_calls(role, took)
