"""Peers of asyncio, for tests: coroutines run in debug mode, and end within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from snakemq.aio import Peer

PATIENCE = 60.0
"""Seconds until a test is taken for hanging."""

T = TypeVar("T")
Main = Callable[[], Coroutine[Any, Any, T]]


def run(
    main: Main[T], make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
) -> T:
    """Run a test in debug mode. Tasks and tracebacks that are left behind are failures."""

    async def limited() -> T:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 1e9  # the machine may be slow
        problems: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, context: problems.append(context))
        async with asyncio.timeout(PATIENCE):
            result = await main()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, others
        assert not problems, problems
        return result

    with asyncio.Runner(debug=True, loop_factory=make_loop) as runner:
        return runner.run(limited())


@asynccontextmanager
async def pair(own_thread: bool = False, **options: Any) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two peers that are connected: alice and bob, who listens. ``options`` are those of both."""
    async with AsyncExitStack() as stack:
        bob = await stack.enter_async_context(Peer("bob", own_thread=own_thread, **options))
        alice = await stack.enter_async_context(Peer("alice", own_thread=own_thread, **options))
        alice.connect(bob.listen("tcp://127.0.0.1:0"))
        await alice.wait_for("bob")
        yield alice, bob
