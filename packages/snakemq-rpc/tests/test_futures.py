from __future__ import annotations

import pickle
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from rpc_peers import Node, RawServer, outstanding

from snakemq.link.testing import MemoryNetwork
from snakemq.rpc import Error, NotConnected, PartialCall, RpcClient, RpcInstProxy, SafePickler


def test_a_future_gets_the_result_or_the_exception(proxy: RpcInstProxy, server: RawServer) -> None:
    future = proxy.method.future(1, key=2)
    server.network.run_until_idle()
    assert server.requests[0]["kwargs"] == {"key": 2}
    server.reply("result")
    assert future.result(0) == "result"
    future = proxy.method.future()
    server.network.run_until_idle()
    server.fail(ValueError("x"), "traceback")
    with pytest.raises(ValueError, match="x") as caught:
        future.result(0)
    assert caught.value.__remote_traceback__ == "traceback"  # type: ignore[attr-defined]


def test_the_time_of_a_future_is_measured_by_the_link(
    client: RpcClient, network: MemoryNetwork
) -> None:
    method = client.get_proxy("server", "object").method
    method.set_timeout(3600)
    future = method.future()
    network.advance(3599)
    assert not future.done()
    network.advance(2)
    assert isinstance(future.exception(0), NotConnected)
    assert client._caller._outstanding.peers == {}


def test_the_time_of_a_future_made_in_the_loop_is_measured_too(
    proxy: RpcInstProxy, client_node: Node, network: MemoryNetwork
) -> None:
    proxy.method.set_timeout(10)
    futures: list[Future[Any]] = []
    client_node.link.call_later(1, lambda: futures.append(proxy.method.future()))
    network.advance(10.9)
    assert not futures[0].done()
    network.advance(0.2)
    assert isinstance(futures[0].exception(0), PartialCall)


def test_a_future_that_is_done_leaves_no_timer(
    proxy: RpcInstProxy, server: RawServer, network: MemoryNetwork
) -> None:
    proxy.method.set_timeout(10)
    future = proxy.method.future()
    network.run_until_idle()
    server.reply("result")
    assert future.result(0) == "result"
    start = network.clock.time()
    with pytest.raises(TimeoutError, match="nothing is left"):
        network.run_until(lambda: False, timeout=100)
    assert network.clock.time() - start < 10


def test_a_cancelled_future_is_forgotten(
    proxy: RpcInstProxy, client: RpcClient, client_node: Node, server: RawServer
) -> None:
    proxy.method.set_timeout(10)
    future = proxy.method.future()
    server.network.run_until_idle()
    assert future.cancel()
    assert outstanding(client) == 0
    server.reply("too late")
    server.network.advance(20)
    with pytest.raises(CancelledError):
        future.result(0)
    assert client_node.errors == []


def test_a_future_that_is_done_cannot_be_cancelled(proxy: RpcInstProxy, server: RawServer) -> None:
    future = proxy.method.future()
    server.network.run_until_idle()
    server.reply("result")
    assert not future.cancel()
    assert future.result(0) == "result"


def test_a_signal_has_no_future(proxy: RpcInstProxy) -> None:
    proxy.method.as_signal()
    with pytest.raises(Error, match="signal"):
        proxy.method.future()


# The time that is left travels along.


def test_a_request_tells_how_long_its_caller_waits(
    proxy: RpcInstProxy, server: RawServer, network: MemoryNetwork
) -> None:
    proxy.method.set_timeout(10)
    proxy.method.future()
    network.run_until_idle()
    assert list(server.requests[0])[:2] == ["req_id", "timeout"]
    assert server.requests[0]["timeout"] == 10.0


def test_a_request_that_waits_for_the_peer_tells_what_is_left(
    client: RpcClient, client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    method = client.get_proxy("server", "object").method
    method.set_timeout(10)
    method.future()
    network.advance(4)
    client_node.connect(server)
    assert server.requests[0]["timeout"] == pytest.approx(6, abs=0.01)


def test_a_repeated_request_tells_what_is_left_and_nothing_else_has_changed(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    argument = [b"\x8c\x07timeout\x94G", 5.0]
    proxy.method.set_timeout(10)
    proxy.method.future(argument, timeout=3.0)
    network.run_until_idle()
    argument.append("changed since")
    network.advance(4)
    network.disconnect(client_node.link.connections[0])
    client_node.connect(server)
    first, second = server.requests
    assert first.pop("timeout") == 10.0
    assert second.pop("timeout") == pytest.approx(6, abs=0.01)
    assert first == second
    assert first["args"] == ([b"\x8c\x07timeout\x94G", 5.0],)


def test_a_request_without_a_timeout_does_not_tell_one(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    proxy.method.future(b"\x8c\x07timeout\x94G12345678")
    network.run_until_idle()
    network.disconnect(client_node.link.connections[0])
    client_node.connect(server)
    assert "timeout" not in server.requests[0]
    assert server.requests[0] == server.requests[1]


def test_a_pickler_of_another_format_is_left_alone(
    client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    class OldPickler(SafePickler):
        @staticmethod
        def dumps(obj: Any, /) -> bytes:
            return pickle.dumps(obj, 2)

    client_node.connect(server)
    client = RpcClient(client_node.hook, OldPickler(), timeout=10)
    client.get_proxy("server", "object").method.future()
    network.run_until_idle()
    network.disconnect(client_node.link.connections[0])
    client_node.connect(server)
    assert [request["timeout"] for request in server.requests] == [10.0, 10.0]
