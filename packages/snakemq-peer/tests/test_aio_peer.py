"""A peer for asyncio: connections, sending, the end. Each test runs with both drivers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from aio_peers import PATIENCE, pair, run

from snakemq.aio import Peer
from snakemq.exceptions import QueueFull
from snakemq.message import Message
from snakemq.messaging import Dropped, DropReason, QueueLimits, ReceiptState
from snakemq.peer import PeerClosed

own_thread = pytest.mark.parametrize("own_thread", [False, True], ids=["guest", "thread"])


@own_thread
def test_message_arrives_and_is_answered(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            receipt = await alice.send("bob", {"n": 1}, codec="json", headers={"k": "v"})
            async with bob.messages() as messages:
                async for message in messages:
                    assert message.content == {"n": 1}
                    assert message.headers["k"] == "v"
                    assert message.sender.ident == "alice"
                    await message.reply(b"yes")
                    break
            await receipt.wait()
            assert receipt.state is ReceiptState.DELIVERED
            async with alice.messages() as messages:
                async for message in messages:
                    assert message.data == b"yes"
                    break

    run(main)


@own_thread
@pytest.mark.parametrize(
    "until", [ReceiptState.QUEUED, ReceiptState.SENT, ReceiptState.DELIVERED], ids=str
)
def test_send_returns_when_the_message_has_come_so_far(
    own_thread: bool, until: ReceiptState
) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):

            async def receive() -> None:
                async with bob.messages() as messages:
                    async for _ in messages:
                        break

            receiving = asyncio.create_task(receive())
            receipt = await alice.send("bob", b"x", until=until)
            assert receipt.raw.reached(until) or until is ReceiptState.QUEUED
            await receiving

    run(main)


@own_thread
def test_rejected_message_raises_at_its_sender(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):

            async def receive() -> None:
                async for message in bob.messages(timeout=None):
                    message.reject("not like that")
                    return

            receiving = asyncio.create_task(receive())
            with pytest.raises(Dropped) as caught:
                await alice.send("bob", b"x", until=ReceiptState.DELIVERED)
            assert caught.value.reason is DropReason.REJECTED
            assert caught.value.detail == "not like that"
            await receiving

    run(main)


@own_thread
def test_persistent_message_is_stored_before_send_returns(own_thread: bool, tmp_path: Path) -> None:
    pytest.importorskip("snakemq.storage.sqlite", reason="snakemq-storage-sql is an extra")
    url = f"sqlite:///{tmp_path / 'alice.db'}"

    async def main() -> None:
        async with Peer("alice", storage=url, own_thread=own_thread, close_timeout=0) as alice:
            for number in range(100):
                receipt = await alice.send("bob", b"%d" % number)
                assert receipt.state is ReceiptState.QUEUED
        async with (
            Peer("bob", own_thread=own_thread) as bob,
            Peer("alice", storage=url, own_thread=own_thread) as alice,
        ):
            alice.connect(bob.listen("tcp://127.0.0.1:0"))
            received = []
            async for message in bob.messages():
                received.append(int(message.data))
                if len(received) == 100:
                    message.ack()
                    break
            assert received == list(range(100))

    run(main)


@own_thread
def test_many_tasks_store_more_than_may_wait_for_the_storage(
    own_thread: bool, tmp_path: Path
) -> None:
    pytest.importorskip("snakemq.storage.sqlite", reason="snakemq-storage-sql is an extra")
    url = f"sqlite:///{tmp_path / 'alice.db'}"

    async def main() -> None:
        async with Peer("alice", storage=url, own_thread=own_thread, close_timeout=0) as alice:
            data = bytes(2_000_000)
            receipts = await asyncio.gather(*(alice.send("bob", data) for _ in range(100)))
            assert {receipt.state for receipt in receipts} == {ReceiptState.QUEUED}
            while alice.stats().peers["bob"].queued < 100:  # the loop is just about to count them
                await asyncio.sleep(0)

    run(main)


@own_thread
def test_send_waits_for_room_in_a_full_queue(own_thread: bool) -> None:
    async def main() -> None:
        limits = QueueLimits(peer_messages=2)
        async with pair(own_thread, queue_limits=limits) as (alice, bob):
            sending = asyncio.gather(*(alice.send("bob", b"%d" % n) for n in range(50)))
            received = []
            async for message in bob.messages():
                received.append(int(message.data))
                if len(received) == 50:
                    message.ack()
                    break
            await sending
            assert sorted(received) == list(range(50))

    run(main)


@own_thread
def test_sends_that_wait_for_room_post_no_more_than_they_must(own_thread: bool) -> None:
    async def main() -> None:
        limits = QueueLimits(peer_messages=10)
        async with pair(own_thread, queue_limits=limits) as (alice, bob):
            posts = 0

            def post(ident: str, message: Message) -> Any:
                nonlocal posts
                posts += 1
                return alice.messaging.post(ident, message)

            assert alice._stack is not None
            alice._stack.outgoing._post = post
            sending = [asyncio.create_task(alice.send("bob", b"%d" % n)) for n in range(500)]
            received = []
            async for message in bob.messages():
                received.append(int(message.data))
                if len(received) == 500:
                    message.ack()
                    break
            await asyncio.gather(*sending)
            assert sorted(received) == list(range(500))
            assert posts < 500 * 4  # once in vain, and now and then the first in line

    run(main)


@own_thread
def test_send_that_waits_for_room_is_cancelled_and_sends_nothing(own_thread: bool) -> None:
    async def main() -> None:
        limits = QueueLimits(peer_messages=1)
        async with Peer("alice", queue_limits=limits, own_thread=own_thread) as alice:
            await alice.send("bob", b"1")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await alice.send("bob", b"2")
            receipts = await alice.broadcast(b"3", to=["bob", "carol"])
            assert isinstance(receipts["bob"].error, QueueFull)
            assert receipts["carol"].state is ReceiptState.QUEUED
            assert alice.stats().peers["bob"].queued == 1

    run(main)


@own_thread
def test_waiting_for_a_peer_says_why_it_does_not_come(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:
            failed = asyncio.Event()
            loop = asyncio.get_running_loop()
            alice.link.on_connect_failed.add(
                lambda address, error: loop.call_soon_threadsafe(failed.set)
            )
            alice.connect("unix:/does/not/exist")  # afterwards, as each reason is told once
            await failed.wait()
            with pytest.raises(TimeoutError, match=r"'bob' is not connected after 0\.01 s; cannot"):
                await alice.wait_for("bob", timeout=0.01)

    run(main)


@own_thread
def test_waiting_for_a_peer_ends_with_the_peer_that_waits(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:
            waiting = asyncio.create_task(alice.wait_for("bob"))
            await asyncio.sleep(0)
            await alice.close()
            with pytest.raises(PeerClosed):
                await waiting

    run(main)


@own_thread
def test_loop_ends_when_the_peer_is_closed(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:

            async def receive() -> list[bytes]:
                return [message.data async for message in alice.messages()]

            receiving = [asyncio.create_task(receive()) for _ in range(3)]
            await asyncio.sleep(0)
            await alice.close()
            assert await asyncio.gather(*receiving) == [[], [], []]

    run(main)


@own_thread
def test_loop_ends_when_no_message_comes(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:
            assert [message async for message in alice.messages(timeout=0.01)] == []

    run(main)


@own_thread
def test_closing_delivers_what_was_sent(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("bob", own_thread=own_thread) as bob:
            received = []

            async def receive() -> None:
                async for message in bob.messages():
                    received.append(message.data)
                    if len(received) == 1000:
                        message.ack()
                        break

            receiving = asyncio.create_task(receive())
            async with Peer("alice", own_thread=own_thread, close_timeout=60) as alice:
                alice.connect(bob.listen("tcp://127.0.0.1:0"))
                await alice.wait_for("bob")
                for _ in range(1000):
                    await alice.send("bob", b"x")
            await receiving
            assert len(received) == 1000

    run(main)


@own_thread
def test_nothing_is_left_of_a_closed_peer(own_thread: bool) -> None:
    async def main() -> set[str]:
        async with pair(own_thread):
            pass
        return {thread.name for thread in threading.enumerate()}

    before = {thread.name for thread in threading.enumerate()}
    assert {name for name in run(main) - before if "alice" in name or "bob" in name} == set()


@own_thread
def test_closing_twice_is_harmless_and_nothing_is_begun_afterwards(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:
            await asyncio.gather(alice.close(), alice.close())
            await alice.close()
            with pytest.raises(PeerClosed):
                await alice.send("bob", b"x")
            with pytest.raises(PeerClosed):
                alice.messages()
            with pytest.raises(PeerClosed):
                alice.listen("tcp://127.0.0.1:0")

    run(main)


def test_peer_is_of_no_use_before_it_is_entered() -> None:
    alice = Peer("alice")
    assert repr(alice) == "<Peer 'alice', not entered>"
    with pytest.raises(RuntimeError, match=r"async with Peer\('alice'\) as peer"):
        alice.messages()


def test_peer_is_entered_once() -> None:
    async def main() -> None:
        alice = Peer("alice")
        async with alice:
            pass
        with pytest.raises(RuntimeError, match="entered once"):
            async with alice:
                pass

    run(main)


def test_peer_of_another_event_loop_refuses() -> None:
    found: list[BaseException] = []

    async def main() -> None:
        async with Peer("alice") as alice:

            def other() -> None:
                try:
                    asyncio.run(alice.send("bob", b"x"))
                except RuntimeError as exc:
                    found.append(exc)

            await asyncio.to_thread(other)

    run(main)
    assert "belongs to the event loop" in str(found[0])


@own_thread
def test_forgotten_peer_warns(own_thread: bool) -> None:
    async def main() -> None:
        alice = Peer("alice", own_thread=own_thread)
        await alice.__aenter__()
        link, closed = alice.link, asyncio.Event()
        loop = asyncio.get_running_loop()
        link.on_closed.add(lambda: loop.call_soon_threadsafe(closed.set))
        peers = [alice]
        del alice
        with pytest.warns(
            ResourceWarning, match=r"'alice', made at .*test_aio_peer\.py:\d+, was not closed"
        ):
            peers.clear()  # the last reference
        await closed.wait()

    run(main)


@own_thread
def test_wrong_arguments_are_refused_at_once(own_thread: bool) -> None:
    wrong: list[dict[str, Any]] = [{"call_timeout": -1}, {"close_timeout": "soon"}]
    for arguments in wrong:
        with pytest.raises((TypeError, ValueError)):
            Peer("alice", own_thread=own_thread, **arguments)

    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:
            with pytest.raises(TypeError):
                await alice.send("bob", "text")
            with pytest.raises(ValueError, match="not an address"):
                alice.connect("somewhere")
            with pytest.raises(ValueError, match="wait until"):
                await alice.send("bob", b"x", until=ReceiptState.POSTED)
            assert alice.stats().peers == {}
            with pytest.raises(TypeError, match="list of idents"):
                await alice.broadcast(b"x", to="bob")
            receipt = await alice.send("bob", b"x")
            with pytest.raises(TypeError):
                receipt.add_done_callback(3)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="wait until"):
                await receipt.wait(until=ReceiptState.DROPPED)
            with pytest.raises(ValueError, match="concurrency"):
                await alice.process(_nothing, concurrency=0)
            with pytest.raises(TypeError):
                await alice.process(3)  # type: ignore[arg-type]

    run(main)


async def _nothing(message: object) -> None:
    pass


@own_thread
def test_receipt_calls_back_in_the_event_loop(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            loop = asyncio.get_running_loop()
            told: asyncio.Future[int] = loop.create_future()
            receipt = await alice.send("bob", b"x")
            receipt.add_done_callback(lambda receipt: told.set_result(threading.get_ident()))
            async with bob.messages() as messages:
                async for _ in messages:
                    break
            assert await told == threading.get_ident()
            away = await alice.send("carol", b"x")
            with pytest.raises(TimeoutError, match=r"queued|sent|posted"):
                await away.wait(timeout=0.01)

    run(main)


def test_thread_of_its_own_goes_on_while_the_event_loop_is_blocked() -> None:
    async def main() -> None:
        async with pair(True) as (alice, bob):
            arrived = threading.Event()
            bob.messaging.on_message_recv.add_internal(lambda *args: arrived.set())
            alice.messaging.post("bob", Message(b"x"))
            assert arrived.wait(PATIENCE)  # this blocks the event loop

    run(main)


def test_guest_goes_on_when_the_event_loop_does() -> None:
    async def main() -> None:
        async with pair() as (alice, bob):
            arrived = asyncio.Event()
            bob.messaging.on_message_recv.add_internal(lambda *args: arrived.set())
            posting = threading.Thread(target=alice.messaging.post, args=("bob", Message(b"x")))
            posting.start()
            posting.join(PATIENCE)
            await arrived.wait()

    run(main)
