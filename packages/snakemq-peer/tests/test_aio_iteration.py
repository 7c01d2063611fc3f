"""Loops over messages, and handlers, of asyncio: what settles a message, and when."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from aio_peers import PATIENCE, pair, run

from snakemq.aio import Messages, Peer, ReceivedMessage
from snakemq.messaging import Dropped, ReceiptState, Reject, Retry

own_thread = pytest.mark.parametrize("own_thread", [False, True], ids=["guest", "thread"])


async def first(peer: Peer) -> ReceivedMessage:
    """Receive one message, and acknowledge it."""
    async with peer.messages() as messages:
        async for message in messages:
            return message
    raise AssertionError("the peer is closed")


def quick(peer: Peer) -> None:
    """Let a peer offer messages again at once."""
    peer.messaging.retry_delay = 0.0


@own_thread
def test_message_is_acknowledged_when_the_next_one_is_asked_for(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            receipts = [await alice.send("bob", b"%d" % n) for n in range(2)]
            numbers = []
            async for message in bob.messages():
                numbers.append(message.data)
                if message.data == b"1":
                    await receipts[0].wait()
                    assert not receipts[1].is_done
                    message.ack()
                    break
            await receipts[1].wait()
            assert numbers == [b"0", b"1"]

    run(main)


@own_thread
def test_body_that_raises_gets_the_message_again_a_limited_number_of_times(
    own_thread: bool,
) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            quick(bob)
            receipt = await alice.send("bob", b"x")
            attempts = []

            async def receive() -> None:
                async for message in bob.messages():
                    attempts.append(message.attempts)
                    raise LookupError

            for _ in range(5):
                with pytest.raises(LookupError):
                    await receive()
            with pytest.raises(Dropped):
                await receipt.wait()
            assert attempts == [1, 2, 3, 4, 5]

    run(main)


@own_thread
def test_cancelled_body_gives_the_message_back_and_counts_no_attempt(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            await alice.send("bob", b"x")
            attempts = []

            async def receive() -> None:
                async for message in bob.messages():
                    attempts.append(message.attempts)
                    got.set()
                    await asyncio.Event().wait()

            for _ in range(7):
                got = asyncio.Event()
                receiving = asyncio.create_task(receive())
                await got.wait()
                receiving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await receiving
                gc.collect()
            assert (await first(bob)).data == b"x"
            assert attempts == [1] * 7

    run(main)


@own_thread
def test_cancelled_body_in_a_block_gives_the_message_back(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            await alice.send("bob", b"x")

            async def receive() -> None:
                async with asyncio.timeout(0.05), bob.messages() as messages:
                    async for message in messages:
                        assert message.attempts == 1
                        await asyncio.Event().wait()

            with pytest.raises(TimeoutError):
                await receive()
            message = await first(bob)
            assert (message.data, message.attempts) == (b"x", 1)

    run(main)


@own_thread
def test_loop_that_is_cancelled_while_it_waits_takes_nothing(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            for n in range(20):
                waiting = asyncio.create_task(first(bob))
                await asyncio.sleep(0)
                await alice.send("bob", b"%d" % n)
                await asyncio.sleep(0.001 * (n % 3))
                waiting.cancel()
                try:
                    received = await waiting
                except asyncio.CancelledError:
                    received = await first(bob)
                assert received.data == b"%d" % n

    run(main)


@own_thread
def test_time_out_of_the_program_is_not_swallowed(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:

            async def receive() -> None:
                async with asyncio.timeout(0.01):
                    async for _ in alice.messages(timeout=60):
                        pass

            with pytest.raises(TimeoutError):
                await receive()

    run(main)


@own_thread
def test_message_that_a_task_has_taken_over_is_settled_there(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            go_on, entered = asyncio.Event(), asyncio.Event()
            receipts = [await alice.send("bob", b"%d" % n) for n in range(2)]

            async def work(message: ReceivedMessage) -> None:
                async with message:
                    entered.set()
                    await go_on.wait()

            tasks = []
            async for message in bob.messages():
                if message.data == b"0":
                    tasks.append(asyncio.create_task(work(message)))
                    await entered.wait()
                else:
                    message.ack()
                    break
            assert not receipts[0].is_done
            go_on.set()
            await asyncio.gather(*tasks)
            await receipts[0].wait()
            await receipts[1].wait()

    run(main)


@own_thread
def test_task_that_takes_a_message_over_too_late_is_told_so(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            await alice.send("bob", b"x")
            message = await first(bob)
            with pytest.raises(ValueError, match="settled already"):
                async with message:
                    pass

    run(main)


@own_thread
def test_each_message_goes_to_one_of_several_loops(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            received: list[int] = []
            everything = asyncio.Event()

            async def receive() -> None:
                async for message in bob.messages():
                    received.append(int(message.data))
                    await asyncio.sleep(0)
                    if len(received) == 300:
                        everything.set()

            receiving = [asyncio.create_task(receive()) for _ in range(5)]
            for n in range(300):
                await alice.send("bob", b"%d" % n)
            await everything.wait()
            await bob.close()
            await asyncio.gather(*receiving)
            assert sorted(received) == list(range(300))

    run(main)


# -- process


async def process(bob: Peer, handler: Callable[[ReceivedMessage], Awaitable[object]]) -> None:
    await bob.process(handler)


@own_thread
def test_messages_of_one_sender_may_be_processed_at_once(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            running = 0
            three = asyncio.Event()

            async def handler(message: ReceivedMessage) -> None:
                nonlocal running
                running += 1
                assert running <= 3
                if running == 3:
                    three.set()
                await three.wait()
                await asyncio.sleep(0)
                running -= 1

            processing = asyncio.create_task(bob.process(handler, concurrency=3, ordered=False))
            receipts = [await alice.send("bob", b"x") for _ in range(9)]
            for receipt in receipts:
                await receipt.wait()
            await bob.close()
            await processing

    run(main)


@own_thread
def test_messages_of_several_senders_are_processed_at_once(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob), Peer("carol", own_thread=own_thread) as carol:
            carol.connect(bob.listen("tcp://127.0.0.1:0"))
            both, running, most = asyncio.Event(), set(), 0

            async def handler(message: ReceivedMessage) -> None:
                nonlocal most
                assert message.sender.ident not in running
                running.add(message.sender.ident)
                most = max(most, len(running))
                if len(running) == 2:
                    both.set()
                await both.wait()
                await asyncio.sleep(0)
                running.discard(message.sender.ident)
                if message.data == b"9":
                    ended.append(message.sender.ident)
                    if len(ended) == 2:
                        bob.stop()

            ended: list[str] = []
            processing = asyncio.create_task(bob.process(handler, concurrency=2))
            for n in range(10):
                await alice.send("bob", b"%d" % n)
                await carol.send("bob", b"%d" % n)
            await bob.run()
            await bob.close()
            await processing
            assert most == 2

    run(main)


@own_thread
def test_messages_of_one_sender_are_processed_in_order(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            numbers = []

            async def handler(message: ReceivedMessage) -> None:
                await asyncio.sleep(0.001 if int(message.data) % 2 else 0)
                numbers.append(int(message.data))
                if len(numbers) == 50:
                    bob.stop()

            processing = asyncio.create_task(bob.process(handler, concurrency=8))
            for n in range(50):
                await alice.send("bob", b"%d" % n)
            await bob.run()
            await bob.close()
            await processing
            assert numbers == list(range(50))

    run(main)


@own_thread
def test_handler_decides_by_what_it_raises(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            quick(bob)
            attempts: dict[bytes, int] = {}

            async def handler(message: ReceivedMessage) -> None:
                attempts[message.data] = attempts.get(message.data, 0) + 1
                if message.data == b"reject":
                    raise Reject("no")
                if message.data == b"retry" and message.attempts < 3:
                    raise Retry
                if message.data == b"raise" and message.attempts < 2:
                    raise LookupError

            processing = asyncio.create_task(process(bob, handler))
            receipts = [
                await alice.send("bob", data) for data in (b"good", b"reject", b"retry", b"raise")
            ]
            await receipts[0].wait()
            with pytest.raises(Dropped):
                await receipts[1].wait()
            await receipts[2].wait()
            await receipts[3].wait()
            assert attempts == {b"good": 1, b"reject": 1, b"retry": 3, b"raise": 2}
            processing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await processing

    run(main)


@own_thread
def test_cancelled_processing_gives_back_what_it_has(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            begun = asyncio.Event()

            async def handler(message: ReceivedMessage) -> None:
                begun.set()
                await asyncio.Event().wait()

            processing = asyncio.create_task(bob.process(handler, concurrency=3, ordered=False))
            for n in range(10):
                await alice.send("bob", b"%d" % n)
            await begun.wait()
            processing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await processing
            received = set()
            async for message in bob.messages():
                assert message.attempts == 1
                received.add(int(message.data))
                if len(received) == 10:
                    message.ack()
                    break

    run(main)


@own_thread
def test_handler_runs_in_the_context_of_its_processing(own_thread: bool) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            seen = []

            async def handler(message: ReceivedMessage) -> None:
                seen.append(variable.get())
                variable.set("changed")
                if len(seen) == 2:
                    bob.stop()

            variable.set("mine")
            processing = asyncio.create_task(process(bob, handler))
            for _ in range(2):
                await alice.send("bob", b"x")
            await bob.run()
            await bob.close()
            await processing
            assert seen == ["mine", "mine"]

    run(main)


# -- faults that were found


@own_thread
def test_iterator_that_is_used_again_does_not_acknowledge_what_has_failed(
    own_thread: bool,
) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            quick(bob)
            receipt = await alice.send("bob", b"x")
            messages = bob.messages()
            attempts: list[int] = []

            async def receive(messages: Messages) -> None:
                async for message in messages:
                    attempts.append(message.attempts)
                    raise LookupError

            for _ in range(5):
                with pytest.raises(LookupError):
                    await receive(messages)
            del messages
            with pytest.raises(Dropped):
                await receipt.wait()
            assert attempts == [1, 2, 3, 4, 5]

    run(main)


@own_thread
def test_polling_an_idle_peer_leaves_nothing_behind(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:
            assert alice._stack is not None
            for _ in range(10):
                assert [message async for message in alice.messages(timeout=0)] == []
            assert not alice._stack.row._waiting

    run(main)


@own_thread
def test_body_that_waits_for_nothing_lets_others_run(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            receipts = [await alice.send("bob", b"x") for _ in range(300)]
            await receipts[-1].wait(until=ReceiptState.SENT)
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            ticking = asyncio.create_task(tick())
            received = 0
            async for message in bob.messages():
                received += 1
                if received == 300:
                    message.ack()
                    break
            assert ticks >= 3
            ticking.cancel()
            await asyncio.wait([ticking])

    run(main)


@own_thread
def test_handler_that_waits_for_something_cancelled_has_failed(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            quick(bob)
            attempts: list[int] = []

            async def handler(message: ReceivedMessage) -> None:
                attempts.append(message.attempts)
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future

            processing = asyncio.create_task(process(bob, handler))
            receipt = await alice.send("bob", b"x")
            with pytest.raises(Dropped):
                await receipt.wait()
            assert attempts == [1, 2, 3, 4, 5]
            await bob.close()
            await processing

    run(main)


@own_thread
def test_task_that_was_cancelled_before_does_not_hide_a_failure(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            quick(bob)
            receipt = await alice.send("bob", b"x")
            attempts: list[int] = []

            async def receive() -> None:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                while len(attempts) < 5:
                    with suppress(LookupError):
                        async for message in bob.messages():
                            attempts.append(message.attempts)
                            raise LookupError

            receiving = asyncio.create_task(receive())
            with pytest.raises(Dropped):
                await receipt.wait()
            await receiving
            assert attempts == [1, 2, 3, 4, 5]

    run(main)


@own_thread
def test_close_lets_handlers_finish_and_begins_no_others(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            begun, go_on = asyncio.Event(), asyncio.Event()
            handled = []

            async def handler(message: ReceivedMessage) -> None:
                begun.set()
                await go_on.wait()
                await message.reply(b"done")
                handled.append(message.data)

            processing = asyncio.create_task(process(bob, handler))
            answer = asyncio.create_task(first(alice))
            receipts = [await alice.send("bob", b"%d" % n) for n in range(3)]
            await begun.wait()
            closing = asyncio.create_task(bob.close(PATIENCE))
            await asyncio.sleep(0)
            go_on.set()
            await closing
            await processing
            await receipts[0].wait()
            assert handled == [b"0"]
            assert (await answer).data == b"done"

    run(main)


@own_thread
def test_handler_may_close_its_peer(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):

            async def handler(message: ReceivedMessage) -> None:
                await bob.close()

            await alice.send("bob", b"x")
            await process(bob, handler)

    run(main)


@own_thread
def test_handler_that_takes_too_long_is_cancelled_at_the_end(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            cancelled = []

            async def handler(message: ReceivedMessage) -> None:
                bob.stop()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.append(message.data)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(process(bob, handler))
                await alice.send("bob", b"x")
                await bob.run()
            assert cancelled == [b"x"]

    run(main)


@own_thread
def test_handler_that_is_not_async_ends_the_processing(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            await alice.send("bob", b"x")
            called: list[ReceivedMessage] = []
            with pytest.raises(ExceptionGroup) as caught:
                await bob.process(called.append)  # type: ignore[arg-type]
            assert caught.group_contains(TypeError, match="a handler is an async function")
            assert len(called) == 1
            assert (await first(bob)).attempts == 1

    run(main)
