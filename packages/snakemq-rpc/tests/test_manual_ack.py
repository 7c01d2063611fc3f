"""RPC over a messaging whose application acknowledges: RPC does that for its own messages."""

from __future__ import annotations

import pytest
from rpc_peers import MakeNode, MakeRawClient, Node, RawClient

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.rpc import RpcClient, RpcServer, as_signal

WINDOW = 2
"""Messages. More of them can be open for twice that number, over all connections."""


class Recorder:
    def __init__(self) -> None:
        self.numbers: list[int] = []

    def double(self, number: int) -> int:
        return 2 * number

    @as_signal
    def note(self, number: int) -> None:
        self.numbers.append(number)


class Pair:
    """A client and a server with a narrow window."""

    def __init__(self, network: MemoryNetwork, node: MakeNode) -> None:
        self.network = network
        self.client_node = node("client", manual_ack=True, window_messages=WINDOW)
        self.server_node = node("server", manual_ack=True, window_messages=WINDOW)

    def start(self) -> None:
        self.server = RpcServer(self.server_node.hook, threads=0)
        self.recorder = Recorder()
        self.server.register_object(self.recorder, "object")
        self.client = RpcClient(self.client_node.hook)
        self.client_node.connect(self.server_node)
        self.proxy = self.client.get_proxy("server", "object")

    def check_calls(self) -> None:
        for number in range(10 * WINDOW):
            future = self.proxy.double.future(number)
            self.network.advance(1)
            assert future.result(timeout=0) == 2 * number
        assert self.client_node.errors == []
        assert self.server_node.errors == []


@pytest.fixture
def pair(network: MemoryNetwork, node: MakeNode) -> Pair:
    return Pair(network, node)


def test_calls_leave_nothing_open(pair: Pair) -> None:
    pair.start()
    pair.check_calls()


def test_signals_leave_nothing_open(network: MemoryNetwork, pair: Pair) -> None:
    pair.start()
    pair.proxy.note.as_signal(60)
    for number in range(10 * WINDOW):
        pair.proxy.note(number)
    network.advance(1)
    assert pair.recorder.numbers == list(range(10 * WINDOW))
    assert pair.server_node.errors == []


def test_an_application_may_have_acknowledged_everything(pair: Pair) -> None:
    def acknowledge(node: Node) -> None:
        node.messaging.on_message_recv.callbacks = (
            lambda _conn_id, _ident, message: node.messaging.ack(message),
            *node.messaging.on_message_recv.callbacks,
        )

    acknowledge(pair.client_node)
    acknowledge(pair.server_node)
    pair.start()
    pair.check_calls()


def test_messages_of_others_are_theirs(network: MemoryNetwork, pair: Pair) -> None:
    pair.start()
    received: list[Message] = []
    pair.server_node.messaging.on_message_recv.add(lambda *args: received.append(args[2]))
    pair.client_node.messaging.send_message("server", Message(b"no request", 60))
    network.advance(1)
    pair.server_node.messaging.ack(received[0])


def test_a_refused_request_is_not_open(
    network: MemoryNetwork, node: MakeNode, raw_client: MakeRawClient
) -> None:
    server_node = node("server", manual_ack=True, window_messages=WINDOW)
    server = RpcServer(server_node.hook, threads=0)
    server.register_object(Recorder(), "object")
    client: RawClient = raw_client()
    for _ in range(10 * WINDOW):
        client.connect(server_node)
        client.send(b"this is no pickle")
        network.advance(1)
    assert [type(error) for error in server_node.errors] == [SnakeMQBrokenMessage] * 10 * WINDOW
