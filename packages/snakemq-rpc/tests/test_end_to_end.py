"""Server and client together: under a fake clock with broken connections, and over sockets."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from functools import partial
from queue import Queue
from typing import Any

import pytest
from rpc_peers import PATIENCE, MakeNode, Node, in_thread

from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import (
    Error,
    NoInstanceError,
    NoMethodError,
    RemoteError,
    RpcClient,
    RpcServer,
    as_signal,
    inline,
)

MIB = 1024 * 1024


class Vexed(Exception):
    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class Counting:
    def __init__(self) -> None:
        self.executed: Counter[Any] = Counter()
        self.signalled = threading.Event()

    def count(self, key: object) -> int:
        self.executed[key] += 1
        return self.executed[key]

    @inline
    def count_inline(self, key: object) -> int:
        return self.count(key)

    @as_signal
    def signal(self) -> None:
        self.signalled.set()

    def fail(self, what: str) -> None:
        raise Vexed(what, "because") if what == "vexed" else KeyError(what)


def test_the_example_of_the_documentation_works(node: MakeNode) -> None:
    bob, alice = node("bob"), node("alice")
    counting = Counting()
    server = RpcServer(bob.hook)
    server.register_object(counting, "counting")
    proxy = RpcClient(alice.hook).get_proxy("bob", "counting")
    future = in_thread(lambda: proxy.count("x"))
    alice.connect(bob)
    alice.until(future.done)
    assert future.result(0) == 1
    server.close()


def test_a_call_and_its_reply_pass_large_messages(network: MemoryNetwork, node: MakeNode) -> None:
    bob, alice = node("bob"), node("alice")
    server = RpcServer(bob.hook)
    server.register_object(Counting(), "counting")
    proxy = RpcClient(alice.hook).get_proxy("bob", "counting")
    order: list[str] = []
    for side in (alice, bob):
        side.messaging.on_message_recv.add(
            lambda _conn_id, ident, message: (
                order.append(ident) if len(message.data) > MIB else None
            )
        )
    alice.connect(bob)
    alice.messaging.send_message("bob", Message(bytes(20 * MIB), 60))
    bob.messaging.send_message("alice", Message(bytes(20 * MIB), 60))
    proxy.count_inline.future("x").add_done_callback(lambda _: order.append("reply"))
    network.run_until_idle()
    assert order[0] == "reply"
    assert sorted(order[1:]) == ["alice", "bob"]
    server.close()


def test_both_sides_are_server_and_client(node: MakeNode) -> None:
    nodes = [node("bob"), node("alice")]
    for one in nodes:
        RpcServer(one.hook, threads=0).register_object(Counting(), one.ident)
    nodes[0].connect(nodes[1])
    futures = [
        RpcClient(nodes[0].hook).get_proxy("alice", "alice").count.future("x"),
        RpcClient(nodes[1].hook).get_proxy("bob", "bob").count.future("x"),
    ]
    # Clients that were made after the connection learn of it by the next one.
    nodes[0].network.disconnect(nodes[0].link.connections[0])
    nodes[0].connect(nodes[1])
    assert [future.result(0) for future in futures] == [1, 1]


@pytest.mark.parametrize("seed", range(40))
def test_each_call_is_executed_once_and_answered_whatever_breaks(seed: int) -> None:
    network = MemoryNetwork(seed, latency=(0.0, 0.05))
    random = network.random
    bob, alice = Node(network, "bob"), Node(network, "alice")
    counting = Counting()
    RpcServer(bob.hook, threads=0).register_object(counting, "counting")
    method = RpcClient(alice.hook).get_proxy("bob", "counting").count
    futures: list[Future[int]] = []

    def call() -> None:
        futures.append(method.future(len(futures)))
        if len(futures) < 50:
            alice.link.call_later(random.random() * 0.2, call)

    alice.link.call_later(0, call)
    for _ in range(15):
        conn_id, _ = network.connect(alice.link, bob.link)
        network.advance(random.random())
        if random.random() < 0.5:
            network.disconnect(conn_id)
        else:
            network.reset_after(conn_id, random.randrange(2000))
            network.advance(1)
            if conn_id in alice.link.connections:
                network.disconnect(conn_id)
        network.advance(random.random())
    network.connect(alice.link, bob.link)
    network.run_until(lambda: len(futures) == 50 and all(future.done() for future in futures))
    assert [future.result(0) for future in futures] == [1] * 50
    assert counting.executed == Counter(range(50))
    assert network.errors == []


def test_calls_of_many_threads_survive_broken_connections(network: MemoryNetwork) -> None:
    bob, alice = Node(network, "bob"), Node(network, "alice")
    counting = Counting()
    server = RpcServer(bob.hook, threads=4)
    server.register_object(counting, "counting")
    proxy = RpcClient(alice.hook).get_proxy("bob", "counting")
    conn_id = alice.connect(bob)

    def work(worker: int) -> list[int]:
        return [proxy.count((worker, number)) for number in range(20)]

    futures = [in_thread(partial(work, worker)) for worker in range(8)]
    for goal in range(10, 160, 10):
        alice.until(lambda goal=goal: len(counting.executed) >= goal)  # type: ignore[misc]
        network.disconnect(conn_id)
        conn_id = alice.connect(bob)
    alice.until(lambda: all(future.done() for future in futures))
    assert [future.result(0) for future in futures] == [[1] * 20] * 8
    server.close()


class SocketPeer:
    """A stack over real sockets, whose loop runs in a thread."""

    def __init__(self, ident: str) -> None:
        self.link = Link()
        self.hook = ReceiveHook(Messaging(ident, "", Packeter(self.link)))
        self._thread = threading.Thread(target=self.link.loop)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of its loop."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.link.cleanup()
        if self._thread.ident is not None:
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive()


@pytest.fixture
def socket_peers() -> Iterator[tuple[SocketPeer, SocketPeer]]:
    peers = SocketPeer("bob"), SocketPeer("alice")
    yield peers
    for peer in peers:
        peer.close()


def test_over_sockets_two_threads_call_at_once(
    socket_peers: tuple[SocketPeer, SocketPeer],
) -> None:
    bob, alice = socket_peers
    counting = Counting()
    server = RpcServer(bob.hook)
    server.register_object(counting, "counting", ["count", "count_inline", "signal", "fail"])
    client = RpcClient(alice.hook, timeout=PATIENCE)
    proxy = client.get_proxy("bob", "counting")
    alice.link.add_connector(bob.link.add_listener(("127.0.0.1", 0)), 0.1)
    alice.start()
    bob.start()

    def work(worker: int) -> list[int]:
        method = proxy.count if worker else proxy.count_inline
        return [method((worker, number)) for number in range(200)]

    futures = [in_thread(partial(work, worker)) for worker in range(2)]
    assert [future.result(PATIENCE) for future in futures] == [[1] * 200] * 2

    batch = [proxy.count_inline.future(("batch", number)) for number in range(500)]
    assert [future.result(PATIENCE) for future in batch] == [1] * 500

    proxy.signal.as_signal(10)
    proxy.signal()
    assert counting.signalled.wait(PATIENCE)

    with pytest.raises(KeyError, match="what") as caught:
        proxy.fail("what")
    assert "in fail" in caught.value.__remote_traceback__  # type: ignore[attr-defined]
    with pytest.raises(RemoteError, match="Vexed: vexed: because") as vexed:
        proxy.fail("vexed")
    assert "in fail" in vexed.value.__remote_traceback__
    with pytest.raises(NoMethodError):
        proxy.executed()
    with pytest.raises(NoInstanceError):
        client.get_proxy("bob", "absent").count()

    assert proxy.count(b"x" * 3_000_000) == 1
    server.close()


@pytest.mark.parametrize("how", ["stop", "cleanup"])
def test_over_sockets_the_caller_of_a_method_that_ends_the_server_hears(
    socket_peers: tuple[SocketPeer, SocketPeer], how: str
) -> None:
    bob, alice = socket_peers

    class Admin:
        def shut_down(self) -> str:
            getattr(bob.link, how)()
            return "bye"

    RpcServer(bob.hook).register_object(Admin(), "admin")
    proxy = RpcClient(alice.hook).get_proxy("bob", "admin")
    alice.link.add_connector(bob.link.add_listener(("127.0.0.1", 0)), 0.1)
    alice.start()
    bob.start()
    future = in_thread(proxy.shut_down)
    bob.join()
    bob.close()
    if how == "stop":
        assert future.result(PATIENCE) == "bye"
    else:
        with pytest.raises(Error, match="shut down while 'shut_down' was running"):
            future.result(PATIENCE)


def test_over_sockets_waiting_callers_hear_that_the_server_ends(
    socket_peers: tuple[SocketPeer, SocketPeer],
) -> None:
    bob, alice = socket_peers
    entered, go_on = threading.Event(), threading.Event()

    class Slow:
        def work(self) -> None:
            entered.set()
            assert go_on.wait(PATIENCE)

    RpcServer(bob.hook).register_object(Slow(), "slow")
    proxy = RpcClient(alice.hook).get_proxy("bob", "slow")
    alice.link.add_connector(bob.link.add_listener(("127.0.0.1", 0)), 0.1)
    alice.start()
    bob.start()
    future = in_thread(proxy.work)
    assert entered.wait(PATIENCE)
    bob.close()
    with pytest.raises(Error, match="shut down while 'work' was running"):
        future.result(PATIENCE)
    go_on.set()


@pytest.mark.parametrize("data", [b"", bytes(100_000)], ids=["small", "large"])
def test_over_sockets_callers_of_async_methods_hear_that_the_server_ends(
    socket_peers: tuple[SocketPeer, SocketPeer], data: bytes
) -> None:
    bob, alice = socket_peers
    begun: Queue[Coroutine[Any, Any, Any]] = Queue()

    class Slow:
        async def work(self, _data: bytes) -> None:
            raise AssertionError("nothing lets it run")

    server = RpcServer(bob.hook, run_coroutine=lambda coroutine, _on_end: begun.put(coroutine))
    server.register_object(Slow(), "slow")
    proxy = RpcClient(alice.hook).get_proxy("bob", "slow")
    alice.link.add_connector(bob.link.add_listener(("127.0.0.1", 0)), 0.1)
    alice.start()
    bob.start()
    future = in_thread(lambda: proxy.work(data))
    coroutine = begun.get(timeout=PATIENCE)
    bob.close()
    with pytest.raises(Error, match="shut down while 'work' was running"):
        future.result(PATIENCE)
    coroutine.close()


def test_over_sockets_a_call_outlives_the_connection(
    socket_peers: tuple[SocketPeer, SocketPeer],
) -> None:
    bob, alice = socket_peers
    entered, go_on = threading.Event(), threading.Event()
    executed: list[str] = []

    class Slow:
        def work(self) -> str:
            executed.append("work")
            entered.set()
            assert go_on.wait(PATIENCE)
            return "done"

    server = RpcServer(bob.hook)
    server.register_object(Slow(), "slow")
    proxy = RpcClient(alice.hook, timeout=PATIENCE).get_proxy("bob", "slow")
    disconnected, connections = threading.Event(), []

    def on_connect(conn_id: str, _ident: str) -> None:
        connections.append(conn_id)

    def on_disconnect(_conn_id: str, _ident: str) -> None:
        disconnected.set()
        go_on.set()

    alice.hook.messaging.on_connect.add(on_connect)
    bob.hook.messaging.on_disconnect.add(on_disconnect)
    alice.link.add_connector(bob.link.add_listener(("127.0.0.1", 0)), 0.1)
    alice.start()
    bob.start()
    future = in_thread(proxy.work)
    assert entered.wait(PATIENCE)
    alice.link.call_from_thread(lambda: alice.link.close(connections[0]))
    assert disconnected.wait(PATIENCE)
    assert future.result(PATIENCE) == "done"
    assert len(connections) == 2
    assert executed == ["work"]
    server.close()
