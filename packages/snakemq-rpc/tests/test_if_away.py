"""Calls that do not wait for a peer that is away."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import pytest
from rpc_peers import Node, RawServer, called, outstanding, result

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.rpc import NotConnected, PartialCall, RpcClient, RpcInstProxy
from snakemq.rpc._calls._peers import Peer


@pytest.fixture
def hasty(client: RpcClient) -> RpcInstProxy:
    """Does not wait for the server, which is not connected yet."""
    return client.get_proxy("server", "object", if_away="fail")


def test_call_to_an_absent_peer_fails_at_once(
    client: RpcClient, client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    hasty.method.set_timeout(None)
    with pytest.raises(NotConnected, match="'server' is not connected, and this call does not"):
        hasty.method()
    assert outstanding(client) == 0
    client_node.connect(server)
    assert server.requests == []


def test_future_of_a_call_to_an_absent_peer_has_failed(
    client: RpcClient, hasty: RpcInstProxy
) -> None:
    future = hasty.method.future()
    with pytest.raises(NotConnected):
        future.result(0)
    assert outstanding(client) == 0


def test_call_to_a_peer_that_has_left_fails_at_once(
    network: MemoryNetwork, client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    network.disconnect(client_node.connect(server))
    network.run_until_idle()
    with pytest.raises(NotConnected):
        hasty.method()


def test_call_to_a_connected_peer_is_answered(
    client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    client_node.connect(server)
    future = called(server, hasty.method, 1)
    server.reply(2)
    assert result(future) == 2


def test_call_fails_when_its_connection_ends_and_is_not_repeated(
    network: MemoryNetwork, client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    conn_id = client_node.connect(server)
    future = called(server, hasty.method)
    network.disconnect(conn_id)
    network.run_until_idle()
    with pytest.raises(PartialCall, match="the connection to 'server' ended after the request"):
        result(future)
    client_node.connect(server)
    assert len(server.requests) == 1


def test_patient_calls_beside_it_are_repeated(
    network: MemoryNetwork,
    client: RpcClient,
    client_node: Node,
    server: RawServer,
    hasty: RpcInstProxy,
) -> None:
    conn_id = client_node.connect(server)
    patient = client.get_proxy("server", "object").method.future()
    future = hasty.method.future()
    network.run_until_idle()
    network.disconnect(conn_id)
    network.run_until_idle()
    assert isinstance(future.exception(0), PartialCall)
    client_node.connect(server)
    server.reply(5)
    assert patient.result(0) == 5


def test_peer_that_is_about_to_be_admitted_is_not_away(
    client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    futures = []
    client_node.messaging.on_connect.add(
        lambda conn_id, ident: futures.append(hasty.method.future())
    )
    client_node.connect(server)
    server.reply(5)
    assert futures[0].result(0) == 5


def test_peer_that_is_turned_away_is_away(
    client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    futures = []

    def refuse(conn_id: str, ident: str) -> None:
        futures.append(hasty.method.future())
        raise ValueError("not this one")

    client_node.messaging.on_connect.add(refuse)
    client_node.connect(server)
    assert isinstance(futures[0].exception(0), NotConnected)
    assert server.requests == []


def test_peer_that_comes_at_the_last_moment_may_execute_the_call(
    client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    """The loop sends the request just when the calling thread gives up."""
    is_connected = Messaging.is_connected

    def comes_now(messaging: Messaging, ident: str) -> bool:
        answer = is_connected(messaging, ident)
        client_node.connect(server)
        return answer

    with mock.patch.object(Messaging, "is_connected", comes_now):
        future = hasty.method.future()
    assert len(server.requests) == 1
    assert isinstance(future.exception(0), PartialCall)


def test_call_that_was_not_sent_when_it_failed_is_never_sent(
    network: MemoryNetwork, client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    """The connection ends, and the next one is made, just when the calling thread sends."""
    connections = [client_node.connect(server)]
    claim = Peer.claim

    def reconnects(peer: Peer, call: Any, message: Message) -> bool:
        if connections:
            network.disconnect(connections.pop())
            network.run_until_idle()
            client_node.connect(server)
        return claim(peer, call, message)

    with mock.patch.object(Peer, "claim", reconnects):
        future = hasty.method.future()
    network.run_until_idle()
    assert isinstance(future.exception(0), NotConnected)
    assert server.requests == []


def test_signals_wait_as_they_were_told(
    client_node: Node, server: RawServer, hasty: RpcInstProxy
) -> None:
    hasty.method.as_signal(60)
    hasty.method()
    client_node.connect(server)
    assert len(server.requests) == 1


def test_copies_do_not_wait_either(hasty: RpcInstProxy) -> None:
    for method in (copy.copy(hasty).method, hasty.method.clone()):
        with pytest.raises(NotConnected):
            method()


def test_other_words_are_refused(client: RpcClient) -> None:
    with pytest.raises(ValueError, match="if_away is 'wait' or 'fail', not 'raise'"):
        client.get_proxy("server", "object", if_away="raise")  # type: ignore[arg-type]
