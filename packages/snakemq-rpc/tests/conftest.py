"""One memory network for each test, and peers on it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import settings
from rpc_peers import MakeNode, MakeRawClient, MakeRawServer, Node, RawClient, RawServer

from snakemq.link.testing import MemoryNetwork
from snakemq.rpc import RpcClient, RpcInstProxy

# No deadline: machines that run tests are busy. Derandomized: a failure belongs to the change.
settings.register_profile("rpc", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("rpc")


@pytest.fixture
def network() -> Iterator[MemoryNetwork]:
    """Whatever a test does, nothing may be raised as far as the link, and so its loop."""
    network = MemoryNetwork()
    yield network
    assert network.errors == []


@pytest.fixture
def node(network: MemoryNetwork) -> MakeNode:
    return partial(Node, network)


@pytest.fixture
def raw_client(network: MemoryNetwork) -> MakeRawClient:
    return partial(RawClient, network)


@pytest.fixture
def raw_server(network: MemoryNetwork) -> MakeRawServer:
    return partial(RawServer, network)


# A client of ours, and a server that a test plays.


@pytest.fixture
def server(raw_server: MakeRawServer) -> RawServer:
    return raw_server()


@pytest.fixture
def client_node(node: MakeNode) -> Node:
    return node("client")


@pytest.fixture
def client(client_node: Node) -> RpcClient:
    return RpcClient(client_node.hook)


@pytest.fixture
def proxy(client: RpcClient, client_node: Node, server: RawServer) -> RpcInstProxy:
    client_node.connect(server)
    return client.get_proxy("server", "object")
