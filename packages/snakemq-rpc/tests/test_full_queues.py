"""Replies that find the queue of their client full are kept until there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rpc_peers import MakeNode, MakeRawClient, Node, RawClient

from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import QueueLimits, WhenFull
from snakemq.rpc import Error, RpcServer, inline

LARGE = 40_000


class Service:
    def __init__(self) -> None:
        self.begun: list[int] = []

    def large(self, number: int) -> bytes:
        self.begun.append(number)
        return bytes(LARGE)

    @inline
    def large_inline(self, number: int) -> bytes:
        return self.large(number)


Start = Callable[..., RpcServer]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(raw_client: MakeRawClient) -> RawClient:
    return raw_client()


@pytest.fixture(params=[WhenFull.RAISE, WhenFull.BLOCK])
def limited(node: MakeNode, request: pytest.FixtureRequest) -> Node:
    """A node whose queue of each peer has room for one large reply."""
    limits = QueueLimits(peer_bytes=LARGE + 1000, when_full=request.param, timeout=0.01)
    return node("server", queue_limits=limits)


@pytest.fixture
def server(limited: Node, service: Service, client: RawClient) -> Iterator[RpcServer]:
    server = RpcServer(limited.hook, threads=2)
    server.register_object(service, "object")
    client.connect(limited)
    yield server
    server.close()


def stop_reading(client: RawClient) -> str:
    (conn_id,) = client.link.connections
    client.link.pause_reading(conn_id, "test")
    return conn_id


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("method", ["large", "large_inline"])
def test_every_call_is_answered_when_its_client_reads_again(
    client: RawClient, limited: Node, service: Service, network: MemoryNetwork, method: str
) -> None:
    conn_id = stop_reading(client)
    for number in range(20):
        client.call(method, number, req_id=b"%d" % number)
    client.until(lambda: len(service.begun) >= 2)
    network.advance(1)
    client.link.resume_reading(conn_id, "test")
    network.run_until(lambda: len(client.replies) == 20, timeout=600, patience=0.01)
    assert sorted(reply["req_id"] for reply in client.replies) == sorted(
        b"%d" % number for number in range(20)
    )
    assert all(len(reply["return"]) == LARGE for reply in client.replies)
    assert sorted(service.begun) == list(range(20))
    assert limited.errors == []


@pytest.mark.usefixtures("server")
def test_meanwhile_no_more_of_its_calls_are_begun(
    client: RawClient, service: Service, network: MemoryNetwork
) -> None:
    stop_reading(client)
    for number in range(50):
        client.call("large_inline", number, req_id=b"%d" % number)
    for _ in range(10):
        network.advance(1)
    assert len(service.begun) < 6


@pytest.mark.usefixtures("server")
def test_other_clients_are_answered_meanwhile(
    client: RawClient, raw_client: MakeRawClient, limited: Node, network: MemoryNetwork
) -> None:
    stop_reading(client)
    for number in range(20):
        client.call("large", number, req_id=b"%d" % number)
    network.advance(1)
    other = raw_client("other")
    other.connect(limited)
    assert len(other.reply_of("large", 1)["return"]) == LARGE


@pytest.mark.parametrize("refused", [{"command": "shout"}, {"object": 7}])
def test_a_refusal_is_kept_as_well(
    server: RpcServer,
    client: RawClient,
    service: Service,
    network: MemoryNetwork,
    refused: dict[str, Any],
) -> None:
    conn_id = stop_reading(client)
    for number in range(3):
        client.call("large_inline", number, req_id=b"%d" % number)
    client.call("large", 3, req_id=b"refused", **refused)
    network.advance(1)
    client.link.resume_reading(conn_id, "test")
    network.run_until(lambda: len(client.replies) == 4, timeout=600, patience=0.01)
    (reply,) = [reply for reply in client.replies if reply["req_id"] == b"refused"]
    assert isinstance(reply["exception"], Error)


def test_a_client_that_comes_back_gets_the_remembered_reply(
    server: RpcServer,
    client: RawClient,
    limited: Node,
    service: Service,
    network: MemoryNetwork,
) -> None:
    conn_id = stop_reading(client)
    for number in range(3):
        client.call("large", number, req_id=b"%d" % number)
    client.until(lambda: len(service.begun) >= 2)
    network.advance(1)
    network.disconnect(conn_id)
    network.advance(1)
    assert server._replies.full == set()
    client.connect(limited)
    client.replies.clear()
    for number in range(3):
        client.call("large", number, req_id=b"%d" % number)
    network.run_until(lambda: len(client.replies) >= 3, timeout=600, patience=0.01)
    assert sorted(service.begun) == [0, 1, 2]


def test_a_server_that_is_closed_still_sends_what_it_has_kept(
    server: RpcServer, client: RawClient, service: Service, network: MemoryNetwork
) -> None:
    conn_id = stop_reading(client)
    for number in range(3):
        client.call("large_inline", number, req_id=b"%d" % number)
    network.advance(1)
    begun = len(service.begun)
    server.close()
    client.link.resume_reading(conn_id, "test")
    network.run_until(lambda: len(client.replies) >= begun, timeout=600, patience=0.01)
