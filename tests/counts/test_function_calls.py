"""How many functions of ours are called for each packet, message and remote call, in memory.

A call takes 0.05 µs at least, and far more when its code has to be fetched into the caches.
Calls are what the processor time of a message consists of, and unlike that they can be counted.
Each bound is what it takes today, and a little more.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from snakemq.identity import Identity, Proof
from snakemq.link import PeerCredentials
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message, _message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.policy import Allow, Rules
from snakemq.rpc import RpcClient, RpcServer, inline

MANY = 1_000
LINK = "snakemq.link"


def counted(func: Callable[[], object]) -> Counter[str]:
    """The functions that ``func()`` has called, but for those of links, and how often."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        module = frame.f_globals["__name__"]
        if event == "call" and module.startswith("snakemq.") and not module.startswith(LINK):
            calls[frame.f_code.co_qualname] += 1

    sys.setprofile(count)
    try:
        func()
    finally:
        sys.setprofile(None)
    return calls


def check(calls: Counter[str], times: int, limit: float) -> None:
    assert calls, "nothing was counted"
    assert calls.total() / times <= limit, calls.most_common(30)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(at_once=True, capacity=None)


class Believer:
    """An authenticator that everybody passes."""

    def check(self, claimed: str, connection: PeerCredentials) -> Identity:
        return Identity(claimed, proven=Proof.CERTIFICATE)


GUARDS = ["nobody is asked", "authenticator", "authenticator and policy"]
AUTHENTICATED = {"authenticator": Believer()}
AUTHORIZED = {
    **AUTHENTICATED,
    "policy": Rules([Allow("*", message=True), Allow("*", call="adder.*")]),
}


def stack(network: MemoryNetwork, ident: str, **options: Any) -> Messaging:
    return Messaging(ident, "", Packeter(network.link(ident)), **options)


def connect(network: MemoryNetwork, *stacks: Messaging) -> None:
    network.connect(*(messaging.packeter.link for messaging in stacks))  # type: ignore[arg-type]
    network.run_until_idle()


def test_packets(network: MemoryNetwork) -> None:
    a, b = Packeter(network.link("a")), Packeter(network.link("b"))
    received: list[bytes] = []
    b.on_packet_recv.add(lambda conn_id, packet: received.append(packet))
    conn_id, _ = network.connect(a.link, b.link)  # type: ignore[arg-type]
    network.run_until_idle()

    def send() -> None:
        for _ in range(MANY):
            a.send_packet(conn_id, b"x" * 100)
        network.run_until_idle()

    # send_packet(), PacketWriter.add()
    check(counted(send), MANY, 3)
    assert len(received) == MANY


@pytest.mark.parametrize(
    ("options", "limit"), [({}, 8), (AUTHENTICATED, 8), (AUTHORIZED, 8)], ids=GUARDS
)
def test_messages_that_are_queued_together(
    network: MemoryNetwork, options: dict[str, Any], limit: int
) -> None:
    a, b = stack(network, "a", **options), stack(network, "b", **options)
    received: list[bytes] = []
    b.on_message_recv.add(lambda conn_id, ident, message: received.append(message.data))
    connect(network, a, b)

    def send() -> None:
        for _ in range(MANY):
            a.send_message("b", Message(b"x" * 100, 60))
        network.run_until_idle()

    # Message(), send_message(), claim(), accept(), ttl_left(); received(), RecentUuids.add()
    check(counted(send), MANY, limit)
    assert len(received) == MANY


@pytest.mark.parametrize(("is_held", "limit"), [(False, 22), (True, 30)])
def test_messages_that_are_posted_together(
    network: MemoryNetwork, is_held: bool, limit: int
) -> None:
    a, b = stack(network, "a"), stack(network, "b")
    received: list[bytes] = []
    b.on_message_recv.add(lambda conn_id, ident, message: received.append(message.data))
    connect(network, a, b)
    held = []

    def send() -> None:
        for _ in range(MANY):
            held.append(a.post("b", Message(b"x" * 100, 60)))
            if not is_held:
                held.clear()
        network.run_until_idle()

    check(counted(send), MANY, limit)
    assert len(received) == MANY


@pytest.mark.parametrize(
    ("event", "limit"), [("on_message_sent", 24), ("on_message_delivered", 90)]
)
def test_messages_one_after_another(network: MemoryNetwork, event: str, limit: int) -> None:
    a, b = stack(network, "a"), stack(network, "b")
    left = MANY
    connect(network, a, b)

    def send_next(*_: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            a.send_message("b", Message(b"x" * 100, 60))

    getattr(a, event).add(send_next)

    def send() -> None:
        send_next()
        network.run_until_idle()

    check(counted(send), MANY, limit)
    assert not left


class Adder:
    @inline
    def add(self, a: int, b: int) -> int:
        return a + b


def call_many(network: MemoryNetwork, **options: Any) -> Counter[str]:
    a, b = stack(network, "a", **options), stack(network, "b", **options)
    add = RpcClient(ReceiveHook(a)).get_proxy("b", "adder").add
    RpcServer(ReceiveHook(b)).register_object(Adder(), "adder")
    connect(network, a, b)

    def call() -> None:
        future = add.future(1, 2)
        network.run_until_idle()
        assert future.result(0) == 3

    call()
    return counted(lambda: [call() for _ in range(MANY)])


@pytest.mark.parametrize("prefix", [bytes(10), b"\x93" * 10])
def test_remote_calls_one_after_another(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch, prefix: bytes
) -> None:
    """Whatever bytes the ids of requests consist of: 0x93 looks like the opcode of a class."""
    monkeypatch.setattr(_message._uuids, "prefix", prefix)
    # Both sides. A call that blocks is sent on a shorter way.
    check(call_many(network), MANY, 110)


@pytest.mark.parametrize(
    ("options", "limit"), [(AUTHENTICATED, 110), (AUTHORIZED, 128)], ids=GUARDS[1:]
)
def test_remote_calls_of_peers_that_are_known(
    network: MemoryNetwork, options: dict[str, Any], limit: int
) -> None:
    # A policy answers three times: for the messages of both ways, and for the call.
    check(call_many(network, **options), MANY, limit)
