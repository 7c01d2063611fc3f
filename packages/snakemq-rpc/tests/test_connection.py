from __future__ import annotations

import pytest
from rpc_peers import MakeNode, Node

from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import ReceiveHook
from snakemq.rpc import RpcClient, RpcServer


class Hasty:
    """A callback that closes the first connection as soon as it is reported."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._closed = False
        node.messaging.on_connect.add(self._on_connect)

    def _on_connect(self, conn_id: str, _ident: str) -> None:
        if not self._closed:
            self._closed = True
            self._node.link.close(conn_id)


class Doubler:
    def double(self, number: int) -> int:
        return 2 * number


@pytest.mark.parametrize("hasty", ["client", "server"])
def test_connection_that_another_callback_closed_is_not_taken_for_open(
    network: MemoryNetwork, node: MakeNode, hasty: str
) -> None:
    nodes = {ident: node(ident) for ident in ("client", "server")}
    Hasty(nodes[hasty])
    server = RpcServer(ReceiveHook(nodes["server"].messaging), threads=0)
    server.register_object(Doubler(), "doubler")
    client = RpcClient(ReceiveHook(nodes["client"].messaging))
    nodes["client"].connect(nodes["server"])
    future = client.get_proxy("server", "doubler").double.future(21)
    network.advance(1)
    assert not future.done()
    nodes["client"].connect(nodes["server"])
    assert future.result(timeout=0) == 42


def test_client_that_is_made_later_knows_which_peers_are_connected(
    network: MemoryNetwork, node: MakeNode
) -> None:
    nodes = {ident: node(ident) for ident in ("client", "server")}
    server = RpcServer(ReceiveHook(nodes["server"].messaging), threads=0)
    server.register_object(Doubler(), "doubler")
    nodes["client"].connect(nodes["server"])
    client = RpcClient(ReceiveHook(nodes["client"].messaging))
    future = client.get_proxy("server", "doubler").double.future(21)
    network.run_until_idle()
    assert future.result(timeout=0) == 42
