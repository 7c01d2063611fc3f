"""Event loops: other ones than that of asyncio, and what ends them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from aio_peers import PATIENCE, pair, run

from snakemq.aio import Peer
from snakemq.messaging import Dropped

own_thread = pytest.mark.parametrize("own_thread", [False, True], ids=["guest", "thread"])


@own_thread
def test_everything_works_with_uvloop(own_thread: bool, tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop", reason="there is none for this system")
    pytest.importorskip("snakemq.storage.sqlite", reason="snakemq-storage-sql is an extra")

    async def main() -> None:
        storage = f"sqlite:///{tmp_path / 'alice.db'}"
        async with (
            Peer("bob", own_thread=own_thread) as bob,
            Peer("alice", storage=storage, own_thread=own_thread) as alice,
        ):
            alice.connect(bob.listen("tcp://127.0.0.1:0"))
            await alice.wait_for("bob")
            for number in range(100):
                await alice.send("bob", b"%d" % number)
            numbers = []
            async for message in bob.messages():
                numbers.append(int(message.data))
                if len(numbers) == 100:
                    message.ack()
                    break
            assert numbers == list(range(100))
            # Timers: the clock of uvloop is another one than that of the link.
            assert [message async for message in bob.messages(timeout=0.01)] == []
            receipt = await alice.send("carol", b"x", ttl=0.01)
            with pytest.raises(Dropped, match="expired"):
                await receipt.wait()

    run(main, uvloop.new_event_loop)


@own_thread
def test_one_program_runs_several_event_loops_one_after_another(own_thread: bool) -> None:
    async def main() -> None:
        async with pair(own_thread) as (alice, bob):
            await alice.send("bob", b"x")
            async with bob.messages() as messages:
                async for _ in messages:
                    break

    for _ in range(3):
        run(main)


@own_thread
def test_event_loops_in_two_threads_have_peers_that_talk(own_thread: bool) -> None:
    address: list[str] = []
    listens = threading.Event()
    received: list[bytes] = []

    async def listen() -> None:
        async with Peer("bob", own_thread=own_thread) as bob:
            address.append(bob.listen("tcp://127.0.0.1:0"))
            listens.set()
            async with bob.messages() as messages:
                async for message in messages:
                    received.append(message.data)
                    break

    async def connect() -> None:
        async with Peer("alice", own_thread=own_thread, close_timeout=PATIENCE) as alice:
            alice.connect(address[0])
            receipt = await alice.send("bob", b"x")
            await receipt.wait()

    thread = threading.Thread(target=run, args=(listen,))
    thread.start()
    assert listens.wait(PATIENCE)
    run(connect)
    thread.join(PATIENCE)
    assert received == [b"x"]


@own_thread
def test_event_loop_that_ends_before_its_peer_leaves_nothing_open(own_thread: bool) -> None:
    peers: list[Peer] = []
    closed = threading.Event()

    async def main() -> None:
        peer = Peer("alice", own_thread=own_thread)
        await peer.__aenter__()
        peer.link.on_closed.add(closed.set)
        peers.append(peer)

    asyncio.run(main())
    with pytest.warns(ResourceWarning, match="was not closed"):
        peers.clear()  # the last reference
    assert closed.wait(PATIENCE)


@own_thread
def test_task_group_that_fails_closes_the_peer(own_thread: bool) -> None:
    class Failed(Exception):
        pass

    async def fail() -> None:
        raise Failed

    async def main() -> None:
        async with pair(own_thread) as (alice, bob), asyncio.TaskGroup() as tasks:
            tasks.create_task(bob.process(ignore, concurrency=3))
            tasks.create_task(alice.wait_for("nobody"))
            tasks.create_task(fail())

    async def ignore(message: Any) -> None:
        pass

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert caught.group_contains(Failed, depth=1)


SERVICE = """
import asyncio, signal, sys
from snakemq.aio import Peer

async def main():
    async with Peer("service", own_thread=sys.argv[1] == "thread") as peer:
        asyncio.get_running_loop().call_soon(lambda: print("runs", flush=True))
        peer.link.on_closed.add(lambda: print("ends", flush=True))
        await peer.run()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

asyncio.run(main())
print("ended", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("driver", ["guest", "thread"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_without_a_traceback(driver: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVICE, driver],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "runs\n"
            process.send_signal(number)
            output, errors = process.communicate(timeout=PATIENCE)
            assert (process.returncode, output, errors) == (0, "ends\nended\n", "")
        finally:
            process.kill()


HURRIED = """
import asyncio, signal, sys
from snakemq.aio import Peer

async def main():
    async with (
        Peer("one", own_thread=sys.argv[1] == "thread", close_timeout=3600) as one,
        Peer("two", own_thread=sys.argv[1] == "thread") as two,
    ):
        one.connect(two.listen("tcp://127.0.0.1:0"))
        await one.wait_for("two")
        await one.send("two", b"nobody takes this")
        loop = asyncio.get_running_loop()
        running = asyncio.gather(one.run(), two.run())
        loop.call_soon(loop.call_soon, lambda: print("runs", flush=True))
        two.link.on_closed.add(lambda: print("ends", flush=True))
        await running
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

asyncio.run(main())
print("ended", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("driver", ["guest", "thread"])
def test_signal_ends_all_peers_and_a_second_one_ends_the_waiting(driver: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HURRIED, driver], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "runs\n"
            process.send_signal(signal.SIGTERM)
            assert process.stdout.readline() == "ends\n"
            process.send_signal(signal.SIGTERM)
            assert process.stdout.read() == "ended\n"
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_signal_that_the_program_handles_is_left_to_it() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Peer("alice") as alice:
            loop.add_signal_handler(signal.SIGTERM, alice.stop)
            running = asyncio.create_task(alice.run())
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)
            await running
        again = asyncio.Event()
        loop.remove_signal_handler(signal.SIGTERM)
        loop.add_signal_handler(signal.SIGTERM, again.set)
        signal.raise_signal(signal.SIGTERM)
        await again.wait()
        loop.remove_signal_handler(signal.SIGTERM)

    run(main)


@own_thread
def test_signals_are_for_the_main_thread(own_thread: bool) -> None:
    errors: list[RuntimeError] = []

    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:
            try:
                await alice.run()
            except RuntimeError as exc:
                errors.append(exc)

    thread = threading.Thread(target=run, args=(main,))
    thread.start()
    thread.join(PATIENCE)
    assert "only the main thread" in str(errors[0])


def test_stop_that_comes_first_is_not_missed() -> None:
    async def main() -> None:
        async with Peer("alice") as alice:
            alice.stop()
            await alice.run()

    run(main)


@own_thread
def test_link_that_is_cleaned_up_ends_it(own_thread: bool) -> None:
    async def main() -> None:
        async with Peer("alice", own_thread=own_thread) as alice:
            running = asyncio.create_task(alice.run())
            await asyncio.sleep(0)
            await asyncio.to_thread(alice.link.cleanup)
            await running

    run(main)
