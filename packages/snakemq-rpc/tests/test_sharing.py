"""Several parts of one program, which all use RPC."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from rpc_peers import MakeNode, Node, RawServer, outstanding

from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import ReceiveHook
from snakemq.rpc import Error, RpcClient, RpcServer, inline


@pytest.fixture(params=["one hook", "two hooks"])
def clients(client_node: Node, server: RawServer, request: Any) -> tuple[RpcClient, RpcClient]:
    first = client_node.hook
    second = first if request.param == "one hook" else ReceiveHook(client_node.messaging)
    client_node.connect(server)
    return RpcClient(first), RpcClient(second)


def test_two_clients_work_side_by_side(
    clients: tuple[RpcClient, RpcClient], server: RawServer, network: MemoryNetwork
) -> None:
    futures = [client.get_proxy("server", "object").method.future() for client in clients * 2]
    network.run_until_idle()
    for number in (2, 0, 3, 1):
        server.reply(number, number)
    assert [future.result(0) for future in futures] == [0, 1, 2, 3]


@pytest.mark.parametrize("closed", [0, 1])
def test_a_client_that_is_closed_leaves_the_other_one_alone(
    clients: tuple[RpcClient, RpcClient], server: RawServer, network: MemoryNetwork, closed: int
) -> None:
    other = clients[1 - closed].get_proxy("server", "object").method
    futures = [other.future()]
    network.run_until_idle()
    clients[closed].close()
    futures.append(other.future())
    network.run_until_idle()
    server.reply("first", 0)
    server.reply("second", 1)
    assert [future.result(0) for future in futures] == ["first", "second"]
    clients[1 - closed].close()
    server.reply("nobody takes it", 1)


def test_with_manual_ack_clients_acknowledge_once(
    node: MakeNode, server: RawServer, network: MemoryNetwork
) -> None:
    client_node = node("client", manual_ack=True)
    client_node.connect(server)
    for client in (RpcClient(client_node.hook), RpcClient(client_node.hook)):
        future = client.get_proxy("server", "object").method.future()
        network.run_until_idle()
        server.reply("answer")
        assert future.result(0) == "answer"
    network.advance(1)
    assert server.messaging.stats().peers["client"].delivered == 2
    assert client_node.errors == []


def test_a_client_can_be_closed_after_its_hook_was_cleared(client_node: Node) -> None:
    client = RpcClient(client_node.hook)
    server = RpcServer(client_node.hook)
    client_node.hook.clear()
    client.close()
    server.close()


def test_a_client_that_is_forgotten_with_its_stack_is_freed() -> None:
    network = MemoryNetwork()
    node = Node(network, "client")
    client = RpcClient(node.hook)
    assert outstanding(client) == 0
    freed = weakref.ref(client)
    del network, node, client
    gc.collect()
    assert freed() is None


class Echo:
    @inline
    def echo(self, value: object) -> object:
        return value


@pytest.mark.parametrize("hooks", [1, 2])
def test_a_second_server_is_told_to_use_the_first(node: MakeNode, hooks: int) -> None:
    server_node, client_node = node("server"), node("client")
    first = RpcServer(server_node.hook)
    first.register_object(Echo(), "echo")
    hook = server_node.hook if hooks == 1 else ReceiveHook(server_node.messaging)
    with pytest.raises(Error, match="register all objects with that one"):
        RpcServer(hook)
    client_node.connect(server_node)
    future = RpcClient(client_node.hook).get_proxy("server", "echo").echo.future(5)
    client_node.network.run_until_idle()
    assert future.result(0) == 5


def test_a_server_may_follow_one_that_is_closed(node: MakeNode) -> None:
    server_node, client_node = node("server"), node("client")
    RpcServer(server_node.hook).close()
    server = RpcServer(server_node.hook)
    server.register_object(Echo(), "echo")
    client_node.connect(server_node)
    future = RpcClient(client_node.hook).get_proxy("server", "echo").echo.future(5)
    client_node.network.run_until_idle()
    assert future.result(0) == 5
