"""Remote calls of asyncio, both ways."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("snakemq.rpc", reason="snakemq-rpc is an extra")

from aio_peers import PATIENCE, pair, run

from snakemq import rpc
from snakemq.aio import Peer

own_thread = pytest.mark.parametrize("own_thread", [False, True], ids=["guest", "thread"])

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


class Calculator:
    def __init__(self) -> None:
        self.signals: list[int] = []
        self.cancelled = asyncio.Event()
        self.begun = 0

    async def add(self, a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    def subtract(self, a: int, b: int) -> int:
        return a - b

    async def fail(self) -> None:
        raise LookupError("not here")

    async def context(self) -> str:
        return variable.get()

    async def wait(self) -> None:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    @rpc.as_signal
    async def note(self, number: int) -> None:
        self.signals.append(number)

    async def unpicklable(self) -> Any:
        return lambda: None

    def stop(self) -> object:
        return next(iter(()))

    async def cancelled_within(self) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def stream(self) -> Any:
        yield 1


@own_thread
def test_async_methods_and_others_are_called(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            bob.serve("calculator", Calculator())
            calculator = alice.remote("bob", "calculator")
            assert await calculator.add(1, 2) == 3
            assert await calculator.subtract(3, b=1) == 2
            assert await asyncio.gather(*(calculator.add(n, n) for n in range(500))) == [
                2 * n for n in range(500)
            ]

    run(main)


@own_thread
def test_both_sides_call_one_another(own_thread: bool) -> None:
    class Caller:
        def __init__(self, peer: Peer) -> None:
            self.peer = peer

        async def ask(self, depth: int) -> int:
            if depth == 0:
                return 0
            other = "bob" if self.peer.ident == "alice" else "alice"
            return 1 + int(await self.peer.remote(other, "caller").ask(depth - 1))

    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            for peer in (alice, bob):
                peer.serve("caller", Caller(peer))
            assert await alice.remote("bob", "caller").ask(9) == 9

    run(main)


@own_thread
def test_exceptions_of_async_methods_arrive(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            bob.serve("calculator", Calculator())
            calculator = alice.remote("bob", "calculator")
            with pytest.raises(LookupError, match="not here"):
                await calculator.fail()
            with pytest.raises(rpc.Error):
                await calculator.unpicklable()
            with pytest.raises(rpc.Error, match="async"):
                await calculator.stream()
            with pytest.raises(rpc.NoMethodError):
                await calculator.nothing()
            with pytest.raises(rpc.NoInstanceError):
                await alice.remote("bob", "nobody").add(1, 2)

    run(main)


@own_thread
def test_signals_are_sent_and_executed(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            served = Calculator()
            bob.serve("calculator", served)
            calculator = alice.remote("bob", "calculator")
            calculator.note.as_signal()
            for number in range(10):
                await calculator.note(number)
            assert await calculator.add(1, 1) == 2
            await asyncio.sleep(0)
            assert sorted(served.signals) == list(range(10))

    run(main)


@own_thread
def test_methods_run_in_the_context_in_which_they_are_served(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            variable.set("served")
            bob.serve("calculator", Calculator())
            variable.set("later")
            assert await alice.remote("bob", "calculator").context() == "served"

    run(main)


@own_thread
def test_cancelled_call_is_forgotten_and_others_go_on(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread, close_timeout=0) as (alice, bob):
            bob.serve("calculator", Calculator())
            calculator = alice.remote("bob", "calculator")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await calculator.wait()
            assert await calculator.add(1, 2) == 3

    run(main)


@own_thread
def test_call_fails_when_its_time_is_over(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", call_timeout=0.05, own_thread=own_thread) as alice:
            with pytest.raises(rpc.NotConnected):
                await alice.remote("bob", "calculator").add(1, 2)
            with pytest.raises(rpc.NotConnected):
                await alice.remote("bob", "calculator", if_away="fail").add(1, 2)

    run(main)


@own_thread
def test_methods_that_run_are_cancelled_at_the_end(own_thread: bool) -> None:
    async def main() -> None:
        served = Calculator()
        async with Peer("bob", own_thread=own_thread, close_timeout=0.05) as bob:
            async with Peer("alice", own_thread=own_thread, close_timeout=0.05) as alice:
                alice.connect(bob.listen("tcp://127.0.0.1:0"))
                bob.serve("calculator", served)
                calling = asyncio.create_task(alice.remote("bob", "calculator").wait())
                while not served.begun:
                    await asyncio.sleep(0.001)
                await bob.close()
                assert served.cancelled.is_set()
            with pytest.raises(rpc.Error):
                await calling

    run(main)


@own_thread
def test_thousand_tasks_of_one_client_call_at_once(own_thread: bool) -> None:
    class Together:
        def __init__(self) -> None:
            self.came = 0
            self.all = asyncio.Event()

        async def come(self) -> int:
            self.came += 1
            if self.came == 1000:
                self.all.set()
            await self.all.wait()
            return self.came

    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            bob.serve("together", Together())
            together = alice.remote("bob", "together")
            assert await asyncio.gather(*(together.come() for _ in range(1000))) == [1000] * 1000

    run(main)


@own_thread
def test_one_client_runs_half_of_the_methods_that_may_run(own_thread: bool) -> None:
    async def main() -> None:
        served = Calculator()
        async with pair(own_thread, close_timeout=0) as (alice, bob):
            bob.serve("calculator", served)
            assert bob._stack is not None
            assert bob._stack.calls is not None
            bob._stack.calls.server.max_coroutines = 10
            calculator = alice.remote("bob", "calculator")
            calls = [asyncio.create_task(calculator.wait()) for _ in range(6)]
            done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert [type(call.exception()) for call in done] == [rpc.ServerBusy]
            for call in waiting:
                call.cancel()
            await asyncio.wait(waiting)

    run(main)


# -- faults that were found


@own_thread
def test_stop_iteration_ends_the_call(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            bob.serve("calculator", Calculator())
            with pytest.raises((rpc.RemoteError, RuntimeError)):
                await alice.remote("bob", "calculator").stop()

    run(main)


@own_thread
def test_method_that_waits_for_something_cancelled_has_failed(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            bob.serve("calculator", Calculator())
            with pytest.raises(rpc.RemoteError) as caught:
                await alice.remote("bob", "calculator").cancelled_within()
            assert "shut down" not in str(caught.value)

    run(main)


@own_thread
def test_caller_of_a_method_that_the_end_cancels_hears_of_it(own_thread: bool) -> None:
    async def main() -> None:
        served = Calculator()
        async with Peer("alice", own_thread=own_thread) as alice:
            async with Peer("bob", own_thread=own_thread, close_timeout=0.01) as bob:
                alice.connect(bob.listen("tcp://127.0.0.1:0"))
                bob.serve("calculator", served)
                calling = asyncio.create_task(alice.remote("bob", "calculator").wait())
                while not served.begun:
                    await asyncio.sleep(0.001)
            with pytest.raises(rpc.RemoteError, match="shut down"):
                await calling

    run(main)


@own_thread
def test_method_may_close_its_peer(own_thread: bool) -> None:
    class Closing:
        def __init__(self, peer: Peer) -> None:
            self.peer = peer
            self.ended = asyncio.Event()

        async def end(self) -> None:
            await self.peer.close()
            self.ended.set()

    async def main() -> None:
        async with pair(own_thread, close_timeout=PATIENCE) as (alice, bob):
            closing = Closing(bob)
            bob.serve("closing", closing)
            method = alice.remote("bob", "closing", if_away="fail").end
            with pytest.raises(rpc.Error):
                await method()
            await closing.ended.wait()

    run(main)


@own_thread
def test_task_that_only_sends_signals_lets_others_run(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            bob.serve("calculator", Calculator())
            note = alice.remote("bob", "calculator").note
            note.as_signal()
            ticked = asyncio.Event()

            async def send() -> None:
                while not ticked.is_set():
                    await note(1)

            sending = asyncio.create_task(send())
            await asyncio.sleep(0)
            ticked.set()
            await sending

    run(main)


@own_thread
def test_failed_calls_leave_no_cycles(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            bob.serve("calculator", Calculator())
            calculator = alice.remote("bob", "calculator")
            gc.collect()
            gc.disable()
            try:
                with suppress(LookupError):
                    await calculator.fail()
                await calculator.add(1, 1)
                assert not [it for it in gc.get_objects() if type(it) is LookupError]
            finally:
                gc.enable()

    run(main)
