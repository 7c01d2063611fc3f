"""A server that is to end, and lets the methods finish that it has begun."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from rpc_peers import PATIENCE, MakeNode, Node, in_thread, result

from snakemq.exceptions import LoopError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.rpc import RpcClient, RpcServer, inline
from snakemq.rpc._protocol import REQUEST_PREFIX


class Slow:
    """Its methods take as long as the test wants."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.calls = 0

    def work(self) -> int:
        self.has_begun.set()
        assert self.may_end.wait(PATIENCE)
        self.calls += 1
        return self.calls

    @inline
    def count(self) -> int:
        self.calls += 1
        return self.calls


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.may_end.set()


@pytest.fixture
def server_node(node: MakeNode) -> Node:
    return node("server")


@pytest.fixture
def server(server_node: Node, slow: Slow) -> RpcServer:
    return serving(server_node, slow)


def serving(node: Node, slow: Slow, threads: int = 8) -> RpcServer:
    server = RpcServer(node.hook, threads=threads)
    server.register_object(slow, "slow")
    return server


def wait_until_it_runs(node: Node, slow: Slow) -> None:
    node.network.run_until_idle()
    assert slow.has_begun.wait(PATIENCE)


def has_begun(server: RpcServer) -> bool:
    return server._draining._intake.takes_no_more


def test_drain_waits_for_methods_that_run(
    client: RpcClient, client_node: Node, server_node: Node, server: RpcServer, slow: Slow
) -> None:
    client_node.connect(server_node)
    future = client.get_proxy("server", "slow").work.future()
    wait_until_it_runs(server_node, slow)
    drained = in_thread(lambda: server.drain(None))
    server_node.until(lambda: has_begun(server))
    assert not drained.done()
    slow.may_end.set()
    assert result(drained) == 0
    server_node.until(future.done)
    assert future.result(0) == 1


def test_drain_waits_for_calls_that_wait_for_a_thread(
    client: RpcClient, client_node: Node, server_node: Node, slow: Slow
) -> None:
    server = serving(server_node, slow, threads=1)
    client_node.connect(server_node)
    futures = [client.get_proxy("server", "slow").work.future() for _ in range(3)]
    wait_until_it_runs(server_node, slow)
    client_node.network.run_until_idle()
    drained = in_thread(lambda: server.drain(None))
    server_node.until(lambda: has_begun(server))
    slow.may_end.set()
    assert result(drained) == 0
    assert slow.calls == 3
    server_node.until(lambda: all(future.done() for future in futures))


def test_drain_tells_how_many_calls_are_not_done_in_time(
    client: RpcClient, client_node: Node, server_node: Node, server: RpcServer, slow: Slow
) -> None:
    client_node.connect(server_node)
    future = client.get_proxy("server", "slow").work.future()
    wait_until_it_runs(server_node, slow)
    assert result(in_thread(lambda: server.drain(0))) == 1
    slow.may_end.set()
    server_node.until(future.done)


@pytest.mark.parametrize("manual_ack", [False, True])
def test_call_that_comes_too_late_is_answered_by_the_next_process(
    node: MakeNode, client: RpcClient, client_node: Node, manual_ack: bool
) -> None:
    slow = Slow()
    old = node("server", manual_ack=manual_ack)
    server = serving(old, slow)
    client_node.connect(old)
    drained = in_thread(lambda: server.drain(None))
    old.until(lambda: has_begun(server))
    assert result(drained) == 0
    future = client.get_proxy("server", "slow").count.future()
    client_node.network.advance(1)
    assert not future.done()
    assert slow.calls == 0
    client_node.network.crash(old.link)
    new = node("server", manual_ack=manual_ack)
    serving(new, slow)
    client_node.connect(new)
    new.until(future.done)
    assert future.result(0) == 1


def test_signal_that_comes_too_late_is_not_acknowledged(
    client_node: Node, server_node: Node, server: RpcServer, client: RpcClient
) -> None:
    client_node.connect(server_node)
    drained = in_thread(lambda: server.drain(None))
    server_node.until(lambda: has_begun(server))
    assert result(drained) == 0
    receipt = client_node.messaging.post("server", Message(REQUEST_PREFIX + b"late", 60))
    client_node.network.advance(1)
    assert receipt.state.value == "sent"


def test_drain_ends_when_the_server_is_closed(
    client: RpcClient, client_node: Node, server_node: Node, server: RpcServer, slow: Slow
) -> None:
    client_node.connect(server_node)
    client.get_proxy("server", "slow").work.future()
    wait_until_it_runs(server_node, slow)
    drained = in_thread(lambda: server.drain(None))
    server_node.until(lambda: has_begun(server))
    server.close()
    assert result(drained) == 1
    assert result(in_thread(lambda: server.drain(None))) == 1


def test_method_may_drain_its_own_server(
    client: RpcClient, client_node: Node, server_node: Node, server: RpcServer
) -> None:
    class Ending:
        def end(self) -> int:
            return server.drain(None)

    server.register_object(Ending(), "ending")
    client_node.connect(server_node)
    future = client.get_proxy("server", "ending").end.future()
    server_node.until(future.done)
    assert future.result(0) == 0


def test_loop_cannot_drain(network: MemoryNetwork, server_node: Node, server: RpcServer) -> None:
    errors: list[Exception] = []

    def drain() -> None:
        with pytest.raises(LoopError, match="drain"):
            server.drain(1)
        errors.append(ValueError())

    server_node.link.call_later(0, drain)
    network.run_until_idle()
    assert errors


def test_seconds_are_not_negative(server: RpcServer) -> None:
    with pytest.raises(ValueError, match="timeout"):
        server.drain(-1)
