"""Peers that end the connection instead of answering."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from rpc_peers import MakeNode, Node, RawServer, outstanding

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.rpc import (
    Error,
    PartialCall,
    RemoteError,
    RpcClient,
    RpcInstProxy,
    RpcServer,
    SafePickler,
    inline,
)


class StrangePickler:
    """Writes what nobody else can read, and reads what everybody writes."""

    PickleError = pickle.PickleError

    def dumps(self, obj: Any, /) -> bytes:
        return pickle.dumps(obj)[::-1]

    def loads(self, data: bytes, /) -> Any:
        return SafePickler().loads(data)


class ClosingServer(RawServer):
    """A server that closes the connection when a request has the argument "poison", as one does
    which is older than the answers to such requests. It answers the others."""

    def __init__(self, network: MemoryNetwork, ident: str = "server", **options: Any) -> None:
        super().__init__(network, ident, **options)
        self.seen: list[bytes] = []

    def _on_request(self, conn_id: str, ident: str, message: Message) -> None:
        self.seen.append(message.data)
        if b"poison" in message.data or b"nosiop" in message.data:
            raise SnakeMQBrokenMessage("poison")
        super()._on_request(conn_id, ident, message)
        body = {"ok": True, "return": "good", "req_id": self.requests[-1]["req_id"]}
        self.messaging.send_message(ident, Message(b"rpcrep" + pickle.dumps(body)))


@pytest.fixture
def closing(network: MemoryNetwork) -> ClosingServer:
    return ClosingServer(network)


def reconnect_while(client: Node, server: Node, condition: Callable[[], object], most: int) -> int:
    """How often they connected; whenever the connection is gone they do it again."""
    times = 0
    while condition() and times < most:
        times += 1
        client.connect(server)
        client.network.advance(3)
    return times


def test_a_call_that_the_server_closes_the_connection_for_comes_to_an_end(
    client: RpcClient, client_node: Node, closing: ClosingServer
) -> None:
    future = client.get_proxy("server", "object").method.future("poison")
    times = reconnect_while(client_node, closing, lambda: not future.done(), 10)
    assert isinstance(future.exception(0), PartialCall)
    assert "refuse" in str(future.exception(0))
    assert times == len(closing.seen) == 3
    assert outstanding(client) == 0


def test_if_its_id_cannot_be_found_it_ends_after_the_second_time(
    client_node: Node, closing: ClosingServer
) -> None:
    client = RpcClient(client_node.hook, StrangePickler())
    future = client.get_proxy("server", "object").method.future("poison")
    times = reconnect_while(client_node, closing, lambda: not future.done(), 10)
    assert isinstance(future.exception(0), PartialCall)
    assert times == len(closing.seen) == 2


@pytest.mark.parametrize("place", [0, 3, 6])
def test_the_calls_beside_it_are_answered(
    client: RpcClient, client_node: Node, closing: ClosingServer, place: int
) -> None:
    method = client.get_proxy("server", "object").method
    futures = [method.future("poison" if n == place else n) for n in range(7)]
    poison = futures.pop(place)
    times = reconnect_while(
        client_node, closing, lambda: not all(f.done() for f in (poison, *futures)), 10
    )
    assert times <= 4
    assert [future.result(0) for future in futures] == ["good"] * 6
    assert isinstance(poison.exception(0), PartialCall)


@pytest.mark.parametrize("poisoned", [0, 1])
def test_the_calls_of_another_client_of_the_messaging_are_answered(
    client_node: Node, closing: ClosingServer, poisoned: int
) -> None:
    clients = [RpcClient(client_node.hook) for _ in range(2)]
    methods = [client.get_proxy("server", "object").method for client in clients]
    poison = methods[poisoned].future("poison")
    futures = [methods[1 - poisoned].future(number) for number in range(3)]
    times = reconnect_while(
        client_node, closing, lambda: not all(f.done() for f in (poison, *futures)), 10
    )
    assert times <= 5
    assert [future.result(0) for future in futures] == ["good"] * 3
    assert isinstance(poison.exception(0), PartialCall)


def test_a_client_that_is_closed_gives_up_its_turn_to_try_suspects(
    client_node: Node, server: RawServer
) -> None:
    clients = [RpcClient(client_node.hook) for _ in range(2)]
    futures = [
        client.get_proxy("server", "object").method.future(number)
        for number, client in enumerate(clients)
    ]
    for _ in range(2):
        client_node.connect(server)
        client_node.network.disconnect(client_node.link.connections[-1])
        client_node.network.run_until_idle()
    server.requests.clear()
    client_node.connect(server)
    assert [request["args"] for request in server.requests] == [(0,)]
    clients[0].close()
    client_node.network.run_until_idle()
    assert [request["args"] for request in server.requests] == [(0,), (1,)]
    server.reply("answered")
    assert futures[1].result(0) == "answered"


def test_two_such_calls_come_to_an_end(
    client: RpcClient, client_node: Node, closing: ClosingServer
) -> None:
    method = client.get_proxy("server", "object").method
    poisons = [method.future("poison"), method.future("poison")]
    good = method.future("good")
    reconnect_while(client_node, closing, lambda: not all(f.done() for f in (*poisons, good)), 10)
    assert good.result(0) == "good"
    assert all(isinstance(poison.exception(0), PartialCall) for poison in poisons)


def test_a_suspect_that_is_cancelled_makes_way_for_the_next_one(
    client: RpcClient, client_node: Node, server: RawServer
) -> None:
    method = client.get_proxy("server", "object").method
    futures = [method.future(number) for number in range(3)]
    for _ in range(2):
        client_node.connect(server)
        client_node.network.disconnect(client_node.link.connections[-1])
        client_node.network.run_until_idle()
    server.requests.clear()
    client_node.connect(server)
    assert [request["args"] for request in server.requests] == [(2,)]
    futures[2].cancel()
    client_node.network.advance(1.1)
    assert [request["args"] for request in server.requests] == [(2,), (1,)]
    server.reply("answered")  # before its time is over, after which nothing more happens
    client_node.network.run_until_idle()
    assert [request["args"] for request in server.requests] == [(2,), (1,), (0,)]
    client_node.network.advance(5)
    assert len(server.requests) == 3


class Slow:
    @inline
    def work(self) -> str:
        return "done"


def test_a_server_of_today_is_not_suspected_when_the_network_is_bad(
    node: MakeNode, client: RpcClient, client_node: Node, network: MemoryNetwork
) -> None:
    server_node = node("server")
    RpcServer(server_node.hook).register_object(Slow(), "slow")
    future = client.get_proxy("server", "slow").work.future()
    for _ in range(20):
        network.connect(client_node.link, server_node.link)
        network.run_until(lambda: client_node.messaging.is_connected("server"), timeout=1)
        network.disconnect(client_node.link.connections[-1])
        network.run_until_idle()
        assert not future.done()
    client_node.connect(server_node)
    assert future.result(0) == "done"


def test_a_peer_that_acknowledges_nothing_is_not_suspected(
    client: RpcClient, client_node: Node, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_node.messaging, "announced_by", lambda ident: 0)
    future = client.get_proxy("server", "object").method.future()
    for _ in range(20):
        client_node.connect(server)
        client_node.network.disconnect(client_node.link.connections[-1])
        client_node.network.run_until_idle()
        assert not future.done()


def test_a_call_that_was_acknowledged_is_not_suspected(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    future = proxy.method.future("takes long")
    for _ in range(10):
        network.advance(1)  # the acknowledgement comes
        network.disconnect(client_node.link.connections[0])
        client_node.connect(server)
    assert not future.done()
    server.reply("at last")
    assert future.result(0) == "at last"


def test_losses_that_are_not_in_a_row_do_not_add_up(
    proxy: RpcInstProxy, client_node: Node, server: RawServer, network: MemoryNetwork
) -> None:
    future = proxy.method.future("takes long")
    for _ in range(5):
        for seconds in (0, 0, 3):
            network.advance(seconds)
            network.disconnect(client_node.link.connections[0])
            client_node.connect(server)
            assert not future.done()
    server.reply("at last")
    assert future.result(0) == "at last"


# Requests in which a server finds no id.


def test_a_server_of_today_names_the_message_of_what_names_no_call(
    node: MakeNode, client_node: Node
) -> None:
    server_node = node("server")
    RpcServer(server_node.hook)
    client = RpcClient(client_node.hook, StrangePickler())
    future = client.get_proxy("server", "object").method.future()
    times = reconnect_while(client_node, server_node, lambda: not future.done(), 10)
    error = future.exception(0)
    assert type(error) is Error
    assert "refused" in str(error)
    assert times <= 2


# Replies that name no call.


@pytest.fixture
def garbled(network: MemoryNetwork) -> RawServer:
    class Garbled(RawServer):
        def _on_request(self, conn_id: str, ident: str, message: Message) -> None:
            super()._on_request(conn_id, ident, message)
            self.messaging.send_message(ident, Message(b"rpcrepgarbage"))

    return Garbled(network)


def test_a_call_with_two_replies_that_name_no_call_fails(
    client: RpcClient, client_node: Node, garbled: RawServer
) -> None:
    futures: list[Future[Any]] = [client.get_proxy("server", "object").method.future()]
    absent = client.get_proxy("absent", "object").method.future()
    times = reconnect_while(client_node, garbled, lambda: not futures[0].done(), 10)
    assert times == 2
    assert isinstance(futures[0].exception(0), RemoteError)
    assert not absent.done()
