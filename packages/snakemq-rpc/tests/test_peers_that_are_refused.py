"""Calls wait for the peer that is admitted, and no other one gets or answers them."""

from __future__ import annotations

import pytest

from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import NotConnected, RpcClient, RpcServer, inline


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    @inline
    def count(self) -> int:
        self.calls += 1
        return self.calls


class Stack:
    def __init__(self, network: MemoryNetwork, ident: str, name: str) -> None:
        self.link = network.link(name)
        self.messaging = Messaging(ident, "", Packeter(self.link))
        self.hook = ReceiveHook(self.messaging)
        self.counter = Counter()
        RpcServer(self.hook).register_object(self.counter, "counter")


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
def client(network: MemoryNetwork) -> Stack:
    """Its RpcClient is made first, so that its callbacks come before the check."""
    stack = Stack(network, "client", "client")
    stack.rpc = RpcClient(stack.hook)  # type: ignore[attr-defined]
    return stack


def refuse_liars(client: Stack, network: MemoryNetwork) -> None:
    def check(conn_id: str, ident: str) -> None:
        if network.other_side(conn_id) != "server":
            raise PermissionError(ident)

    client.messaging.on_connect.add(check)


def test_a_call_goes_to_the_one_that_is_admitted(network: MemoryNetwork, client: Stack) -> None:
    refuse_liars(client, network)
    future = client.rpc.get_proxy("server", "counter").count.future()  # type: ignore[attr-defined]
    liar = Stack(network, "server", "liar")
    network.connect(liar.link, client.link)
    network.run_until_idle()
    assert liar.counter.calls == 0
    assert not future.done()
    server = Stack(network, "server", "server")
    network.connect(server.link, client.link)
    network.run_until_idle()
    assert future.result(0) == server.counter.calls == 1


def test_a_call_that_only_a_refused_peer_could_have_had_was_not_sent(
    network: MemoryNetwork, client: Stack
) -> None:
    refuse_liars(client, network)
    method = client.rpc.get_proxy("server", "counter").count.clone()  # type: ignore[attr-defined]
    method.set_timeout(5)
    future = method.future()
    liar = Stack(network, "server", "liar")
    network.connect(liar.link, client.link)
    network.advance(6)
    with pytest.raises(NotConnected):
        future.result(0)


def test_calls_of_a_refused_peer_are_not_executed(network: MemoryNetwork, client: Stack) -> None:
    refuse_liars(client, network)
    liar = Stack(network, "server", "liar")
    future = RpcClient(liar.hook).get_proxy("client", "counter").count.future()
    network.connect(liar.link, client.link)
    network.advance(6)
    assert client.counter.calls == 0
    assert not future.done()
