from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from rpc_peers import MakeRawServer, Node, RawServer, called, in_thread, outstanding, result

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link.testing import MemoryNetwork
from snakemq.rpc import (
    CallError,
    Error,
    NotConnected,
    PartialCall,
    RemoteError,
    RpcClient,
    RpcInstProxy,
    SafePickler,
)
from snakemq.rpc._calls._waiters import BlockedThread, Sleepers

# The request.


def test_a_request_has_the_format_of_1_6(proxy: RpcInstProxy, server: RawServer) -> None:
    future = called(server, proxy.method, 1, "x", key=[None])
    request = dict(server.requests[0])
    req_id = request.pop("req_id")
    assert isinstance(req_id, bytes)
    assert len(req_id) == 16
    assert request == {
        "command": "call",
        "object": "object",
        "method": "method",
        "args": (1, "x"),
        "kwargs": {"key": [None]},
    }
    assert next(iter(server.requests[0])) == "req_id"  # to be read even if the rest cannot be
    assert server.raw_requests[0].startswith(b"rpcreq\x80\x04")
    server.reply("a result")
    assert result(future) == "a result"


def test_arguments_that_cannot_be_pickled_are_refused_at_once(
    proxy: RpcInstProxy, client: RpcClient
) -> None:
    with pytest.raises(TypeError, match="pickle"):
        proxy.method(threading.Lock())
    with pytest.raises(Error, match="snakemq itself"):
        proxy.method(RemoteError("a", "b"))  # a server of 1.6 would die of it
    assert outstanding(client) == 0


# The reply.


def test_any_number_of_threads_call_at_the_same_time(
    proxy: RpcInstProxy, server: RawServer
) -> None:
    futures = {number: called(server, proxy.method, number) for number in range(20)}
    for index in reversed(range(20)):
        server.reply(server.requests[index]["args"][0] * 10, index)
    assert {n: result(future) for n, future in futures.items()} == {n: n * 10 for n in range(20)}


def test_remote_exceptions_are_raised_here(proxy: RpcInstProxy, server: RawServer) -> None:
    future = called(server, proxy.method)
    server.fail(KeyError("key"), "the traceback")
    with pytest.raises(KeyError) as caught:
        result(future)
    assert caught.value.args == ("key",)
    assert caught.value.__remote_traceback__ == "the traceback"  # type: ignore[attr-defined]


class OutOfStock(Exception):
    pass


class Order:
    def __init__(self, number: int) -> None:
        self.number = number


HERE = __name__


def test_an_exception_of_an_unknown_class_arrives_by_name(
    proxy: RpcInstProxy, server: RawServer
) -> None:
    """1.6 sends it like this, and tells no more than the exception itself."""
    future = called(server, proxy.method)
    server.fail(OutOfStock("shoe", 42), "the traceback")
    with pytest.raises(RemoteError) as caught:
        result(future)
    assert caught.value.type_name == f"{HERE}.OutOfStock"
    assert caught.value.message == "shoe, 42"
    assert str(caught.value) == f"{HERE}.OutOfStock: shoe, 42"
    assert caught.value.__remote_traceback__ == "the traceback"


def test_an_exception_that_could_not_travel_arrives_by_name(
    proxy: RpcInstProxy, server: RawServer
) -> None:
    future = called(server, proxy.method)
    server.fail(Error("a.B: c"), "tb", exception_type="a.B", exception_message="c")
    with pytest.raises(RemoteError) as caught:
        result(future)
    assert (caught.value.type_name, caught.value.message) == ("a.B", "c")
    assert caught.value.__remote_traceback__ == "tb"


@pytest.mark.parametrize("known", [True, False])
def test_an_exception_that_came_beside_an_error_is_taken_if_it_is_known(
    client_node: Node, server: RawServer, known: bool
) -> None:
    pickler = SafePickler()
    if known:
        pickler.register(OutOfStock)
    proxy = RpcClient(client_node.hook, pickler).get_proxy("server", "object")
    client_node.connect(server)
    future = called(server, proxy.method)
    more = {"exception_type": "shop.OutOfStock", "exception_message": "shoe"}
    pickled = pickle.dumps(OutOfStock("shoe"))
    server.fail(Error("shop.OutOfStock: shoe"), "tb", exception_pickle=pickled, **more)
    with pytest.raises(OutOfStock if known else RemoteError, match="shoe") as caught:
        result(future)
    assert vars(caught.value)["__remote_traceback__"] == "tb"


def test_what_came_beside_an_error_is_an_exception_or_ignored(
    proxy: RpcInstProxy, server: RawServer
) -> None:
    for beside in (b"", b"garbage", pickle.dumps("text"), None):
        future = called(server, proxy.method)
        server.fail(Error("the error"), exception_pickle=beside)
        with pytest.raises(Error, match="the error"):
            result(future)


def test_an_error_of_rpc_stays_one(proxy: RpcInstProxy, server: RawServer) -> None:
    future = called(server, proxy.method)
    server.fail(Error("x"), exception_type="snakemq.rpc.Error", exception_message="x")
    with pytest.raises(Error) as caught:
        result(future)
    assert type(caught.value) is Error


def test_an_exit_of_the_server_does_not_end_the_client(
    client_node: Node, server: RawServer
) -> None:
    client_node.connect(server)
    trusting = RpcClient(client_node.hook, pickler=pickle)
    client_node.network.disconnect(client_node.link.connections[0])
    client_node.connect(server)
    future = called(server, trusting.get_proxy("server", "object").method)
    server.fail(SystemExit("bye"))
    with pytest.raises(RemoteError, match="SystemExit: bye"):
        result(future)


def test_a_result_of_an_unknown_class_says_what_to_do(
    proxy: RpcInstProxy, server: RawServer
) -> None:
    future = called(server, proxy.method)
    server.reply([Order(5)])
    with pytest.raises(RemoteError, match="register") as caught:
        result(future)
    assert caught.value.type_name == f"{HERE}.Order"


def test_registered_classes_arrive_as_they_are(client_node: Node, server: RawServer) -> None:
    pickler = SafePickler()
    pickler.register(Order)
    pickler.register(OutOfStock)
    proxy = RpcClient(client_node.hook, pickler).get_proxy("server", "object")
    client_node.connect(server)
    future = called(server, proxy.method, Order(4))
    server.reply(Order(5))
    assert result(future).number == 5
    future = called(server, proxy.method)
    server.fail(OutOfStock("shoe"))
    with pytest.raises(OutOfStock):
        result(future)


def test_a_trusting_client_reads_everything(client_node: Node, server: RawServer) -> None:
    proxy = RpcClient(client_node.hook, pickler=pickle).get_proxy("server", "object")
    client_node.connect(server)
    future = called(server, proxy.method)
    server.reply(Order(5))
    assert result(future).number == 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        pickle.dumps([]),
        pickle.dumps({"ok": True, "return": None}),
        pickle.dumps({"req_id": "x" * 16, "ok": True, "return": None}),
        pickle.dumps({"req_id": Order(1), "ok": True, "return": None}),
    ],
)
def test_a_reply_that_names_no_call_costs_the_connection(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, body: bytes
) -> None:
    server.send(body)
    assert server.disconnected == ["client"]
    assert [type(error) for error in client_node.errors] == [SnakeMQBrokenMessage]


def test_a_reply_that_nobody_waits_for_is_ignored(
    proxy: RpcInstProxy, client_node: Node, server: RawServer
) -> None:
    future = called(server, proxy.method)
    server.send(pickle.dumps({"req_id": b"x" * 16, "ok": True, "return": "wrong"}))
    server.reply("right")
    server.reply("again")
    assert result(future) == "right"
    assert client_node.errors == []


def test_a_reply_of_somebody_else_is_not_accepted(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, raw_server: MakeRawServer
) -> None:
    other = raw_server("other")
    client_node.connect(other)
    future = called(server, proxy.method)
    other.requests = server.requests
    other.reply("forged")
    assert not future.done()
    server.reply("genuine")
    assert result(future) == "genuine"


# Connections.


def test_a_call_waits_for_the_peer_to_connect(
    client: RpcClient, client_node: Node, server: RawServer
) -> None:
    future = in_thread(client.get_proxy("server", "object").method)
    client_node.until(lambda: outstanding(client))
    client_node.connect(server)
    assert len(server.requests) == 1
    server.reply("result")
    assert result(future) == "result"


def test_a_call_is_repeated_with_the_same_bytes_after_a_reconnection(
    proxy: RpcInstProxy, client: RpcClient, client_node: Node, server: RawServer
) -> None:
    future = called(server, proxy.method, 1)
    for times in (2, 3):
        client_node.network.disconnect(client_node.link.connections[0])
        client_node.connect(server)
        assert len(server.requests) == times
    assert len(set(server.raw_requests)) == 1
    server.reply("result")
    assert result(future) == "result"
    client_node.network.disconnect(client_node.link.connections[0])
    client_node.connect(server)
    assert len(server.requests) == 3


def test_calls_are_repeated_in_their_order(
    proxy: RpcInstProxy, client_node: Node, server: RawServer
) -> None:
    for number in range(10):
        proxy.method.future(number)
    client_node.network.disconnect(client_node.link.connections[0])
    server.requests.clear()
    client_node.connect(server)
    assert [request["args"] for request in server.requests] == [(n,) for n in range(10)]


def test_connections_of_others_do_not_matter(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, raw_server: MakeRawServer
) -> None:
    called(server, proxy.method, 1)
    other = raw_server("other")
    conn_id = client_node.connect(other)
    client_node.network.disconnect(conn_id)
    client_node.network.run_until_idle()
    assert len(server.requests) == 1
    assert other.requests == []


def test_a_request_that_the_peer_does_not_take_fails(
    client: RpcClient, client_node: Node, raw_server: MakeRawServer
) -> None:
    server = raw_server(max_packet_size=10_000)
    client_node.connect(server)
    method = client.get_proxy("server", "object").method
    future = called(server, method, b"x" * 20_000)
    with pytest.raises(CallError, match="dropped"):
        result(future)
    assert outstanding(client) == 0
    called(server, method, b"x" * 5_000)
    assert len(server.requests) == 1


def test_what_is_known_of_a_peer_is_forgotten_with_it(
    proxy: RpcInstProxy, client: RpcClient, client_node: Node, server: RawServer
) -> None:
    future = called(server, proxy.method)
    server.reply(1)
    result(future)
    client_node.network.disconnect(client_node.link.connections[0])
    client_node.network.run_until_idle()
    assert client._caller._outstanding.peers == {}


# Time-outs.


def test_the_time_is_over_before_the_peer_has_connected(
    client: RpcClient, client_node: Node
) -> None:
    method = client.get_proxy("server", "object").method
    method.set_timeout(0.001)
    with pytest.raises(NotConnected, match="server"):
        method()
    client_node.link.wakeup_poll()
    client_node.network.run_until_idle()
    assert client._caller._outstanding.peers == {}


def test_the_time_is_over_and_the_request_was_sent(
    proxy: RpcInstProxy, client: RpcClient, client_node: Node, server: RawServer
) -> None:
    proxy.method.set_timeout(0.001)
    future = called(server, proxy.method)
    with pytest.raises(PartialCall, match="server"):
        result(future)
    assert outstanding(client) == 0
    # It may still be under way.
    server.network.run_until(lambda: bool(server.requests), patience=10)
    server.reply("too late")
    assert client_node.errors == []


def test_it_stays_a_partial_call_when_the_peer_has_left(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    proxy.method.set_timeout(5)
    future = proxy.method.future()
    network.run_until_idle()
    network.disconnect(client_node.link.connections[0])
    network.advance(4.9)
    assert not future.done()
    network.advance(0.2)
    assert isinstance(future.exception(0), PartialCall)


def test_the_default_timeout_is_for_new_methods(client_node: Node) -> None:
    client = RpcClient(client_node.hook, timeout=0.001)
    method = client.get_proxy("server", "object").method
    with pytest.raises(NotConnected):
        method()
    assert method.call_timeout == 0.001


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_is_not_negative(client: RpcClient, client_node: Node, timeout: float) -> None:
    method = client.get_proxy("server", "object").method
    with pytest.raises(ValueError, match=r"^timeout must be "):
        method.set_timeout(timeout)
    with pytest.raises(ValueError, match=r"^timeout must be "):
        RpcClient(client_node.hook, timeout=timeout)
    method.set_timeout(0)
    with pytest.raises(NotConnected):
        method()


def test_a_huge_timeout_never_ends(proxy: RpcInstProxy, server: RawServer) -> None:
    proxy.method.set_timeout(1e30)
    future = called(server, proxy.method)
    server.reply("result")
    assert result(future) == "result"


def test_an_interrupted_call_is_forgotten(
    proxy: RpcInstProxy, client: RpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_self: object, _timeout: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BlockedThread, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        proxy.method()
    assert outstanding(client) == 0


# Waking up the thread.


class Witness:
    """Sees replies after the client, and does something."""

    def __init__(self, node: Node, action: Callable[[], object]) -> None:
        self._action = action
        node.messaging.on_message_recv.add(lambda *_args: self._action())


def test_a_thread_is_woken_though_its_client_is_closed_in_the_same_pass(
    proxy: RpcInstProxy, server: RawServer, client: RpcClient, client_node: Node
) -> None:
    Witness(client_node, client.close)
    future = called(server, proxy.method)
    server.reply("result")
    assert result(future) == "result"


def test_a_thread_whose_call_ends_while_the_client_is_closed_is_woken() -> None:
    sleepers = Sleepers()
    sleepers.end()
    thread = BlockedThread(sleepers)
    thread.succeed("result")
    assert thread.wait(0)
    assert thread.outcome() == "result"


def test_a_thread_is_woken_when_the_pass_is_interrupted(
    proxy: RpcInstProxy, server: RawServer, client_node: Node
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    Witness(client_node, interrupt)
    future = called(server, proxy.method)
    with pytest.raises(KeyboardInterrupt):
        server.reply("result")
    assert result(future) == "result"


def test_a_thread_sleeps_on_until_the_pass_is_done() -> None:
    sleepers = Sleepers()
    threads = [BlockedThread(sleepers) for _ in range(2)]
    threads[0].succeed("result")
    threads[1].fail(ValueError("error"))
    assert not any(thread.wait(0) for thread in threads)
    sleepers.wake()
    assert all(thread.wait(0) for thread in threads)
    assert threads[0].outcome() == "result"
    with pytest.raises(ValueError, match="error"):
        threads[1].outcome()


# In the loop.


def test_a_blocking_call_in_the_loop_is_refused(
    proxy: RpcInstProxy, client: RpcClient, client_node: Node, network: MemoryNetwork
) -> None:
    errors: list[Exception] = []
    client.exception_handler = print  # it is a mistake of the program, nothing to be handled

    def in_loop() -> None:
        try:
            proxy.method()
        except Error as exc:
            errors.append(exc)

    client_node.link.call_later(0, in_loop)
    network.run_until_idle()
    assert "future" in str(errors[0])
    assert outstanding(client) == 0


def test_signals_and_futures_are_fine_in_the_loop(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    proxy.signal.as_signal(5)
    futures: list[Future[Any]] = []
    client_node.link.call_later(0, proxy.signal)
    client_node.link.call_later(0, lambda: futures.append(proxy.method.future(1)))
    network.run_until_idle()
    assert [request["command"] for request in server.requests] == ["signal", "call"]
    server.reply("result")
    assert futures[0].result(0) == "result"


# Signals.


def test_a_signal_does_not_wait(proxy: RpcInstProxy, server: RawServer) -> None:
    proxy.method.as_signal(10)
    assert proxy.method(1, key=2) is None
    server.network.run_until_idle()
    assert server.requests == [
        {
            "command": "signal",
            "object": "object",
            "method": "method",
            "args": (1,),
            "kwargs": {"key": 2},
        }
    ]


def test_a_signal_waits_for_the_peer_as_long_as_its_ttl(
    client: RpcClient, client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    proxy = client.get_proxy("server", "object")
    for name, ttl in (("none", 0), ("short", 10), ("long", 20)):
        getattr(proxy, name).as_signal(ttl)
        getattr(proxy, name)()
    network.advance(15)
    client_node.connect(server)
    assert [request["method"] for request in server.requests] == ["long"]


def test_a_signal_may_become_a_call_again(proxy: RpcInstProxy, server: RawServer) -> None:
    proxy.method.as_signal()
    proxy.method.as_signal(None)
    called(server, proxy.method)
    assert server.requests[0]["command"] == "call"


# The handler of exceptions.


def test_the_handler_gets_exceptions_and_the_call_returns_none(
    proxy: RpcInstProxy, client: RpcClient, server: RawServer
) -> None:
    handled: list[Exception] = []
    client.exception_handler = handled.append
    future = called(server, proxy.method)
    server.fail(ValueError("x"))
    assert result(future) is None
    assert [repr(exc) for exc in handled] == ["ValueError('x')"]


def test_the_handler_does_not_get_errors_of_the_call_itself(
    proxy: RpcInstProxy, client: RpcClient, server: RawServer
) -> None:
    handled: list[Exception] = []
    client.exception_handler = handled.append
    proxy.method.set_timeout(0.001)
    with pytest.raises(PartialCall):
        result(called(server, proxy.method))
    assert handled == []


# The end.


def test_closing_ends_all_calls(
    proxy: RpcInstProxy, client: RpcClient, client_node: Node, server: RawServer
) -> None:
    sent = called(server, proxy.method)
    unsent = client.get_proxy("absent", "object").method.future()
    client.close()
    client.close()
    with pytest.raises(PartialCall, match="closed"):
        result(sent)
    with pytest.raises(NotConnected, match="closed"):
        result(unsent)
    with pytest.raises(Error, match="closed"):
        proxy.method()
    server.reply("too late")
    assert client_node.errors == []
