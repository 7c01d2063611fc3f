"""Every coroutine is cancelled at every place where it waits: nothing is lost, nothing doubled.

Each scenario is played again and again, and the cancellation comes one suspension later each time,
until the coroutine ends before it comes.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aio_peers import pair, run
from cancelling import CancelledAt

from snakemq.aio import Peer, Receipt, ReceivedMessage
from snakemq.messaging import QueueLimits, ReceiptState

ways = pytest.mark.parametrize(
    ("own_thread", "late"),
    [(False, False), (False, True), (True, False), (True, True)],
    ids=["guest", "guest, late", "thread", "thread, late"],
)

COUNT = 5


async def collect(peer: Peer, count: int) -> Counter[bytes]:
    """Receive so many messages, and all that may come behind them."""
    received: Counter[bytes] = Counter()
    async for message in peer.messages():
        received[message.data] += 1
        if received.total() == count:
            message.ack()
            break
    async for message in peer.messages(timeout=0.02):
        received[message.data] += 1
    return received


async def until_it_ends(scenario: Callable[[int], Coroutine[Any, Any, bool]]) -> None:
    """Play it for each suspension. It returns whether the cancellation came."""
    for at in range(100):
        if not await scenario(at):
            return
    raise AssertionError("it never ends")


@ways
@pytest.mark.parametrize("until", [ReceiptState.QUEUED, ReceiptState.DELIVERED], ids=str)
@pytest.mark.parametrize("stored", [False, True], ids=["memory", "sqlite"])
def test_send(
    own_thread: bool, late: bool, until: ReceiptState, stored: bool, tmp_path: Path
) -> None:
    if stored:
        pytest.importorskip("snakemq.storage.sqlite", reason="snakemq-storage-sql is an extra")

    async def main() -> None:
        options = {"storage": f"sqlite:///{tmp_path}/alice.db"} if stored else {}
        async with (
            Peer("bob", own_thread=own_thread) as bob,
            Peer("alice", own_thread=own_thread, **options) as alice,  # type: ignore[arg-type]
        ):
            alice.connect(bob.listen("tcp://127.0.0.1:0"))
            await alice.wait_for("bob")

            async def scenario(at: int) -> bool:
                last = b"last %d" % at
                sending = asyncio.create_task(send(at))
                received: Counter[bytes] = Counter()
                async for message in bob.messages():
                    received[message.data] += 1
                    if message.data == last:
                        message.ack()
                        break
                cancelled = await sending
                data = b"%d" % at
                assert set(received.values()) == {1}
                assert cancelled or received[data] == 1
                return cancelled

            async def send(at: int) -> bool:
                sending = CancelledAt(alice.send("bob", b"%d" % at, until=until), at, late=late)
                try:
                    await sending
                except asyncio.CancelledError:
                    return True
                finally:
                    await alice.send("bob", b"last %d" % at)
                return False

            await until_it_ends(scenario)

    run(main)


@ways
def test_send_to_a_full_queue(own_thread: bool, late: bool) -> None:
    async def main() -> None:
        limits = QueueLimits(peer_messages=1)
        async with pair(own_thread, queue_limits=limits) as (alice, bob):

            async def scenario(at: int) -> bool:
                await alice.send("bob", b"first %d" % at)

                async def send() -> bool:
                    sending = alice.send("bob", b"%d" % at)
                    try:
                        await CancelledAt(sending, at, late=late)
                    except asyncio.CancelledError:
                        return True
                    return False

                sending = asyncio.create_task(send())
                received = await collect(bob, 1)
                cancelled = await sending
                received += await collect_rest(bob)
                assert received[b"first %d" % at] == 1
                assert received[b"%d" % at] <= 1
                assert cancelled or received[b"%d" % at] == 1
                return cancelled

            await until_it_ends(scenario)

    run(main)


async def collect_rest(peer: Peer) -> Counter[bytes]:
    return Counter([message.data async for message in peer.messages(timeout=0.05)])


@ways
def test_waiting_for_the_next_message(own_thread: bool, late: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):

            async def scenario(at: int) -> bool:
                messages = bob.messages()
                waiting = asyncio.create_task(wait(messages.__anext__(), at))
                await asyncio.sleep(0)
                for n in range(COUNT):
                    await alice.send("bob", b"%d %d" % (at, n))
                message = await waiting
                received = Counter[bytes]()
                if message is not None:
                    received[message.data] += 1
                    message.ack()
                received += await collect(bob, COUNT - received.total())
                assert received == {b"%d %d" % (at, n): 1 for n in range(COUNT)}
                return message is None

            async def wait(
                coroutine: Coroutine[Any, Any, ReceivedMessage], at: int
            ) -> ReceivedMessage | None:
                try:
                    return await CancelledAt(coroutine, at, late=late)
                except asyncio.CancelledError:
                    return None

            await until_it_ends(scenario)

    run(main)


@ways
def test_loop_whose_body_waits(own_thread: bool, late: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):

            async def scenario(at: int) -> bool:
                processed = Counter[bytes]()

                async def consume() -> None:
                    async for message in bob.messages():
                        await asyncio.sleep(0)
                        processed[message.data] += 1
                        message.ack()
                        if processed.total() == COUNT:
                            return

                for n in range(COUNT):
                    await alice.send("bob", b"%d %d" % (at, n))
                cancelled = False
                try:
                    await asyncio.create_task(wrap(CancelledAt(consume(), at, late=late)))
                except asyncio.CancelledError:
                    cancelled = True
                    await consume()
                assert processed == {b"%d %d" % (at, n): 1 for n in range(COUNT)}
                return cancelled

            await until_it_ends(scenario)

    run(main)


async def wrap(awaitable: CancelledAt[Any]) -> Any:
    return await awaitable


@ways
@pytest.mark.parametrize("ordered", [True, False])
def test_process(own_thread: bool, late: bool, ordered: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):

            async def scenario(at: int) -> bool:
                processed = Counter[bytes]()
                everything = asyncio.Event()

                async def handler(message: ReceivedMessage) -> None:
                    await asyncio.sleep(0)
                    processed[message.data] += 1
                    message.ack()  # no more waiting: from here on it counts
                    if processed.total() == COUNT:
                        everything.set()

                async def process() -> None:
                    await bob.process(handler, concurrency=2, ordered=ordered)

                for n in range(COUNT):
                    await alice.send("bob", b"%d %d" % (at, n))
                cancelled = CancelledAt(process(), at, late=late)
                processing = asyncio.create_task(wrap(cancelled))
                telling = asyncio.create_task(everything.wait())
                await asyncio.wait([processing, telling], return_when=asyncio.FIRST_COMPLETED)
                came_too_late = not processing.done()
                if processing.done():
                    with pytest.raises(asyncio.CancelledError):
                        await processing
                    processing = asyncio.create_task(process())
                await telling
                processing.cancel()
                await asyncio.wait([processing])
                assert processed == {b"%d %d" % (at, n): 1 for n in range(COUNT)}
                return not came_too_late

            await until_it_ends(scenario)

    run(main)


@ways
def test_waiting_for_a_receipt_or_a_peer(own_thread: bool, late: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):

            async def scenario(at: int) -> bool:
                async def wait() -> tuple[Receipt, bool]:
                    receipt = await alice.send("bob", b"x")
                    try:
                        await CancelledAt(receipt.wait(), at, late=late)
                        await CancelledAt(alice.wait_for("bob"), at, late=late)
                    except asyncio.CancelledError:
                        return receipt, True
                    return receipt, False

                waiting = asyncio.create_task(wait())
                assert await collect(bob, 1) == {b"x": 1}
                receipt, cancelled = await waiting
                await receipt.wait()  # it goes on all the same
                return cancelled

            await until_it_ends(scenario)

    run(main)


@ways
def test_entering_and_closing(own_thread: bool, late: bool, tmp_path: Path) -> None:
    """What is in the storage stays there, and the file is free for the next peer."""
    pytest.importorskip("snakemq.storage.sqlite", reason="snakemq-storage-sql is an extra")

    async def main() -> None:
        async with Peer("bob", own_thread=own_thread) as bob:
            address = bob.listen("tcp://127.0.0.1:0")

            async def live(at: int) -> None:
                storage = f"sqlite:///{tmp_path}/{at}.db"
                async with Peer("alice", storage=storage, own_thread=own_thread) as alice:
                    await alice.send("bob", b"%d" % at)
                    sent.add(at)

            sent: set[int] = set()

            async def scenario(at: int) -> bool:
                cancelled = False
                try:
                    await asyncio.create_task(wrap(CancelledAt(live(at), at, late=late)))
                except asyncio.CancelledError:
                    cancelled = True
                storage = f"sqlite:///{tmp_path}/{at}.db"
                async with Peer("alice", storage=storage, own_thread=own_thread) as alice:
                    alice.connect(address)
                    await alice.wait_for("bob")
                    await alice.send("bob", b"last", until=ReceiptState.SENT)
                    received = await collect(bob, 1 + (at in sent))
                    assert received[b"%d" % at] <= 1
                    assert at not in sent or received[b"%d" % at] == 1
                await gone(bob, "alice")
                return cancelled

            await until_it_ends(scenario)

    run(main)


async def gone(peer: Peer, ident: str) -> None:
    while ident in peer.peers():
        await asyncio.sleep(0.001)


@ways
def test_remote_call(own_thread: bool, late: bool) -> None:
    pytest.importorskip("snakemq.rpc", reason="snakemq-rpc is an extra")

    class Counting:
        def __init__(self) -> None:
            self.executed = Counter[int]()

        async def count(self, number: int) -> int:
            self.executed[number] += 1
            return number

    async def main() -> None:
        served = Counting()
        async with pair(own_thread) as (alice, bob):
            bob.serve("counting", served)
            counting = alice.remote("bob", "counting")

            async def scenario(at: int) -> bool:
                cancelled = False
                try:
                    call = CancelledAt(counting.count(at), at, late=late)
                    await asyncio.create_task(wrap(call))
                except asyncio.CancelledError:
                    cancelled = True
                assert await counting.count(1000 + at) == 1000 + at
                return cancelled

            await until_it_ends(scenario)
            assert set(served.executed.values()) == {1}

    run(main)


@ways
def test_broadcast(own_thread: bool, late: bool, tmp_path: Path) -> None:
    """Each peer gets the message, or none does: all are posted before anything is awaited."""
    pytest.importorskip("snakemq.storage.sqlite", reason="snakemq-storage-sql is an extra")

    async def main() -> None:
        storage = f"sqlite:///{tmp_path}/alice.db"
        async with (
            Peer("bob", own_thread=own_thread) as bob,
            Peer("alice", storage=storage, own_thread=own_thread) as alice,
        ):
            alice.connect(bob.listen("tcp://127.0.0.1:0"))
            await alice.wait_for("bob")

            async def scenario(at: int) -> bool:
                cancelled = False
                sending = alice.broadcast(b"%d" % at, to=["bob", "carol"])
                try:
                    await asyncio.create_task(wrap(CancelledAt(sending, at, late=late)))
                except asyncio.CancelledError:
                    cancelled = True
                await alice.send("bob", b"last")
                assert await collect(bob, 2) == {b"%d" % at: 1, b"last": 1}
                return cancelled

            await until_it_ends(scenario)

    run(main)


@ways
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_running(own_thread: bool, late: bool) -> None:
    """Whatever is cancelled, the peer is closed and the signals are given back."""

    async def main() -> None:
        before = signal.getsignal(signal.SIGTERM)

        async def live(at: int) -> None:
            async with Peer("alice", own_thread=own_thread) as alice:
                asyncio.get_running_loop().call_soon(alice.stop)
                await CancelledAt(alice.run(), at, late=late)

        async def scenario(at: int) -> bool:
            try:
                await asyncio.create_task(live(at))
            except asyncio.CancelledError:
                return True
            finally:
                assert signal.getsignal(signal.SIGTERM) is before
            return False

        await until_it_ends(scenario)

    run(main)


@pytest.mark.parametrize("own_thread", [False, True], ids=["guest", "thread"])
@pytest.mark.parametrize("seed", range(4))
def test_many_tasks_that_are_cancelled_at_random(own_thread: bool, seed: int) -> None:
    choose = random.Random(seed)
    messages = 400

    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            processed = Counter[int]()
            everything = asyncio.Event()

            async def consume() -> None:
                async for message in bob.messages():
                    for _ in range(choose.randrange(3)):
                        await asyncio.sleep(0)
                    processed[int(message.data)] += 1
                    message.ack()
                    if len(processed) == messages:
                        everything.set()

            async def keep_consuming() -> None:
                while not everything.is_set():
                    consuming = asyncio.create_task(consume())
                    for _ in range(choose.randrange(30)):
                        await asyncio.sleep(0)
                    consuming.cancel()
                    await asyncio.wait([consuming])

            workers = [asyncio.create_task(keep_consuming()) for _ in range(4)]
            for number in range(messages):
                await alice.send("bob", b"%d" % number)
            await everything.wait()
            await asyncio.gather(*workers)
            assert processed == dict.fromkeys(range(messages), 1)

    run(main)
