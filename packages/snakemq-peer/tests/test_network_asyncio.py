"""Peers of asyncio on a network in memory, in an event loop that goes by its clock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from networks import PATIENCE, collect

from snakemq import aio
from snakemq.messaging import Dropped, ReceiptState, Retry
from snakemq.queues import MemoryQueuesStorage
from snakemq.testing import PeerNetwork

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def network() -> Iterator[PeerNetwork]:
    with PeerNetwork() as network:
        yield network


@pytest.fixture
def run(network: PeerNetwork) -> Run:
    """Run a test in debug mode."""
    return lambda main: network.run(main(), debug=True)


@asynccontextmanager
async def pair(network: PeerNetwork) -> AsyncIterator[tuple[aio.Peer, aio.Peer]]:
    """Two peers that are connected."""
    async with network.aio_peer("alice") as alice, network.aio_peer("bob") as bob:
        network.connect("alice", "bob")
        await alice.wait_for("bob")
        yield alice, bob


async def data_of(peer: aio.Peer) -> list[bytes]:
    """What comes to a peer in the next second."""
    return [message.data async for message in peer.messages(timeout=1)]


def test_message_is_delivered(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        async with pair(network) as (alice, bob):
            receipt = await alice.send("bob", b"hello")
            assert await data_of(bob) == [b"hello"]
            assert receipt.state is ReceiptState.DELIVERED
            assert network.time == 1

    run(main)


def test_sleep_lets_time_pass(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        async with pair(network) as (alice, _bob):
            await asyncio.sleep(24 * 3600)
            assert network.time == asyncio.get_running_loop().time() == 24 * 3600
            assert [*alice.peers()] == ["bob"]

    run(main)


def test_timeouts_take_no_time(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        async with network.aio_peer("alice") as alice:
            receipt = await alice.send("bob", b"hello", ttl=100)
            with pytest.raises(TimeoutError, match="after 30 s"):
                await receipt.wait(30)
            with pytest.raises(TimeoutError, match="after 20 s"):
                await alice.wait_for("bob", 20)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10):
                    await receipt.wait()
            assert network.time == 60
            with pytest.raises(Dropped):
                await receipt.wait()
            assert network.time == pytest.approx(100, abs=1)

    run(main)


def test_tasks_follow_each_other_in_time(network: PeerNetwork, run: Run) -> None:
    story: list[tuple[float, str]] = []

    async def work(message: aio.ReceivedMessage) -> None:
        await asyncio.sleep(float(message.data))
        story.append((network.time, message.data.decode()))

    async def main() -> None:
        async with pair(network) as (alice, bob):
            working = asyncio.create_task(bob.process(work, concurrency=3, ordered=False))
            for seconds in (30, 10, 20):
                await alice.send("bob", b"%d" % seconds)
            await asyncio.sleep(100)
            working.cancel()
            await asyncio.wait([working])

    run(main)
    assert story == [(10, "10"), (20, "20"), (30, "30")]


def test_handler_that_raises_gets_the_message_again_later(network: PeerNetwork, run: Run) -> None:
    times: list[float] = []

    async def fail_twice(message: aio.ReceivedMessage) -> None:
        times.append(network.time)
        if message.attempts < 3:
            raise Retry(10)

    async def main() -> None:
        async with pair(network) as (alice, bob):
            working = asyncio.create_task(bob.process(fail_twice))
            await (await alice.send("bob", b"hello")).wait()
            working.cancel()
            await asyncio.wait([working])

    run(main)
    assert times == [0, 10, 20]


def test_peer_that_was_away_gets_what_was_sent_meanwhile(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        async with pair(network) as (alice, bob):
            network.cut("alice", "bob")
            receipt = await alice.send("bob", b"hello")
            await asyncio.sleep(3600)
            assert receipt.state is ReceiptState.QUEUED
            network.heal("alice", "bob")
            assert await data_of(bob) == [b"hello"]

    run(main)


def test_peers_of_both_kinds_talk_to_each_other(network: PeerNetwork, run: Run) -> None:
    bob = network.peer("bob")
    received = collect(bob)

    async def main() -> None:
        async with network.aio_peer("alice") as alice:
            alice.connect(bob.listen("tcp://127.0.0.1:4000"))
            await (await alice.send("bob", b"hello")).wait()
            bob.send("alice", b"hello to you")
            assert await data_of(alice) == [b"hello to you"]

    run(main)
    assert received == [b"hello"]


def test_no_time_passes_while_a_thread_works(network: PeerNetwork, run: Run) -> None:
    bob = network.peer("bob")
    has_begun, may_end = threading.Event(), threading.Event()

    @bob.on_message
    def answer(message: Any) -> None:
        has_begun.set()
        assert may_end.wait(PATIENCE)
        message.reply(b"yes")

    def let_it_end() -> None:
        assert has_begun.wait(PATIENCE)
        may_end.set()

    async def main() -> None:
        async with network.aio_peer("alice") as alice:
            network.connect("alice", "bob")
            await alice.send("bob", b"hello", ttl=1)
            threading.Thread(target=let_it_end).start()
            assert await data_of(alice) == [b"yes"]

    run(main)


def test_message_in_a_storage_survives_its_peer(network: PeerNetwork, run: Run) -> None:
    storage = MemoryQueuesStorage()

    async def main() -> None:
        async with network.aio_peer("alice", storage=storage) as alice:
            await alice.send("bob", b"hello")
        async with pair_with(storage) as bob:
            assert await data_of(bob) == [b"hello"]

    @asynccontextmanager
    async def pair_with(storage: MemoryQueuesStorage) -> AsyncIterator[aio.Peer]:
        async with network.aio_peer("alice", storage=storage), network.aio_peer("bob") as bob:
            network.connect("bob", "alice")
            yield bob

    run(main)


def test_message_in_a_file_survives_its_peer(
    network: PeerNetwork, run: Run, tmp_path: Path
) -> None:
    pytest.importorskip("snakemq.storage.sqlite")
    url = f"sqlite:///{tmp_path}/alice.db"

    async def main() -> None:
        async with network.aio_peer("alice", storage=url) as alice:
            await alice.send("bob", b"hello")
        async with network.aio_peer("alice", storage=url), network.aio_peer("bob") as bob:
            network.connect("bob", "alice")
            assert await data_of(bob) == [b"hello"]

    run(main)


def test_remote_calls_go_by_the_clock_of_the_network(network: PeerNetwork, run: Run) -> None:
    rpc = pytest.importorskip("snakemq.rpc")

    class Slow:
        async def add(self, a: int, b: int) -> int:
            await asyncio.sleep(10)
            return a + b

        def subtract(self, a: int, b: int) -> int:
            return a - b

    async def main() -> None:
        async with pair(network) as (alice, bob):
            bob.serve("slow", Slow())
            slow = alice.remote("bob", "slow")
            assert await slow.add(1, 2) == 3
            assert await slow.subtract(1, 2) == -1
            assert network.time == 10
            network.cut("alice", "bob")
            with pytest.raises(rpc.NotConnected):
                await slow.add(1, 2)
            assert network.time == 70

    run(main)


def test_close_waits_by_the_clock_of_the_network(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        async with pair(network) as (alice, _bob):
            await alice.send("bob", b"hello")  # nobody takes it there
            await alice.close(timeout=1000)
            assert network.time == 1000

    run(main)


def test_the_coroutine_returns_and_raises(network: PeerNetwork) -> None:
    async def give(value: int) -> int:
        await asyncio.sleep(5)
        return 10 // value

    assert network.run(give(2)) == 5
    with pytest.raises(ZeroDivisionError):
        network.run(give(0))
    assert network.time == 10


def test_coroutine_that_waits_in_vain_is_an_error(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        async with network.aio_peer("alice") as alice:
            await alice.wait_for("bob")

    with pytest.raises(RuntimeError, match="nothing ends this wait"):
        run(main)
    network.peer("alice")  # it was closed


def test_what_blocks_the_event_loop_is_refused(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        for func in (network.settle, lambda: network.advance(1)):
            with pytest.raises(RuntimeError, match=r"await asyncio\.sleep"):
                func()

    run(main)
    network.advance(1)


def test_other_event_loops_are_refused(network: PeerNetwork) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"network\.run"):
            async with network.aio_peer("alice"):
                pass

    asyncio.run(main())
    network.peer("alice")


def test_an_ident_is_taken_until_its_peer_is_closed(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        async with network.aio_peer("alice"):
            with pytest.raises(ValueError, match="alice"):
                async with network.aio_peer("alice"):
                    pass
        async with network.aio_peer("alice"):
            pass

    run(main)


def test_threads_may_call_the_event_loop(network: PeerNetwork, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        called: asyncio.Future[None] = loop.create_future()
        threading.Thread(target=lambda: loop.call_soon_threadsafe(called.set_result, None)).start()
        await called
        assert await asyncio.to_thread(lambda: 5) == 5
        assert network.time == 0

    run(main)


def test_coroutines_may_run_in_another_thread(network: PeerNetwork) -> None:
    async def main() -> None:
        async with pair(network) as (alice, bob):
            await alice.send("bob", b"hello")
            assert await data_of(bob) == [b"hello"]
            await asyncio.sleep(100)

    ended: list[float] = []
    thread = threading.Thread(target=lambda: ended.append((network.run(main()), network.time)[1]))
    thread.start()
    thread.join(PATIENCE)
    assert ended == [101]
