"""Callbacks get what is documented, and whatever they do the stack goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from memory_peers import MakePeer, MakeRawPeer, Peer, message

from snakemq.exceptions import SnakeMQBrokenFormat, SnakeMQBrokenMessage
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import ReceiveHook

CALLBACKS = [
    "on_connect",
    "on_disconnect",
    "on_message_recv",
    "on_message_sent",
    "on_message_delivered",
    "on_message_drop",
]

Action = Callable[..., None]


def make_everything_happen(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    """Each of alice's callbacks is called at least once."""
    at_alice, _ = alice.connect(bob)
    alice.send("bob", b"to bob")
    bob.send("alice", b"to alice")
    network.run_until_idle()
    alice.send("nobody", ttl=0)
    network.advance(10)
    network.disconnect(at_alice)
    network.advance(10)


def test_assigned_callback_replaces_those_that_users_added(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """It could in 1.6, where an event was a plain attribute; and this holds for all layers."""
    heard: list[bytes] = []
    hooked: list[bytes] = []
    hook = ReceiveHook(bob.messaging)
    hook.register(b"hook", lambda _conn_id, _ident, message: hooked.append(message.data))
    for layer in (bob.messaging, bob.packeter, bob.link):
        for name in [name for name in vars(layer) if name.startswith("on_")]:
            setattr(layer, name, None)
    bob.messaging.on_message_recv = lambda _conn_id, _ident, message: heard.append(message.data)
    alice.connect(bob)
    alice.send("bob", b"hook", ttl=60)
    network.run_until_idle()
    assert heard == [b"hook"]
    assert hooked == [b"hook"]
    assert bob.received == []
    assert alice.messaging.stats().peers["bob"].delivered == 1


def test_all_callbacks_with_their_documented_arguments(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    delivered: list[tuple[str, str, bytes]] = []
    alice.messaging.on_message_delivered.add(lambda *args: delivered.append(args))
    at_alice, _ = alice.connect(bob)
    assert alice.connected == [(at_alice, "bob")]
    to_bob = alice.send("bob", b"to bob")
    to_alice = bob.send("alice", b"to alice")
    network.run_until_idle()
    assert alice.sent == [(at_alice, "bob", to_bob)]
    assert delivered == [(at_alice, "bob", to_bob)]
    ((conn_id, ident, received),) = alice.received
    assert (conn_id, ident) == (at_alice, "bob")
    assert isinstance(received, Message)
    assert (received.data, received.uuid) == (b"to alice", to_alice)
    to_nobody = alice.send("nobody", ttl=0)
    network.run_until_idle()
    assert alice.dropped == [("nobody", to_nobody)]
    assert alice.disconnected == []
    network.disconnect(at_alice)
    network.run_until_idle()
    assert alice.disconnected == [(at_alice, "bob")]
    assert alice.errors == []


def test_on_disconnect_only_for_those_that_on_connect_was_called_for(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    stranger = raw()
    stranger.connect(alice)
    stranger.link.close(stranger.conn_id)
    network.run_until_idle()
    assert alice.connected == alice.disconnected == []


def test_on_message_sent_comes_when_the_system_took_the_message_over(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, at_bob = alice.connect(bob)
    bob.link.pause_reading(at_bob)
    early = [alice.send("bob", b"x" * 1000) for _ in range(10)]
    network.run_until_idle()
    assert [uuid for _, _, uuid in alice.sent] == early
    network.stall(at_alice)
    alice.send("bob", b"late")
    network.run_until_idle()
    assert len(alice.sent) == 10
    network.unstall(at_alice)
    network.run_until_idle()
    assert len(alice.sent) == 11


@pytest.mark.parametrize("name", CALLBACKS)
def test_send_message_inside_every_callback(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer, name: str
) -> None:
    carol = peer("carol")
    alice.connect(carol)

    def send(*args: Any) -> None:
        if "carol" not in args:
            alice.send("carol", b"from inside")

    getattr(alice.messaging, name).add(send)
    make_everything_happen(network, alice, bob)
    assert b"from inside" in carol.heard
    assert alice.errors == []


def test_send_message_inside_on_error(
    network: MemoryNetwork, alice: Peer, bob: Peer, raw: MakeRawPeer
) -> None:
    alice.connect(bob)
    alice.messaging.on_error.add(lambda conn_id, exc: alice.send("bob", b"trouble"))
    raw().join(alice, "bad", b"\3")
    assert bob.heard == [b"trouble"]


def test_callback_that_answers_its_own_message_forever_lets_others_live(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """Each drop is answered by a message that is dropped."""
    alice.connect(bob)
    alice.messaging.on_message_drop.add(lambda ident, uuid: alice.send("nobody", ttl=0))
    alice.send("nobody", ttl=0)
    alice.send("bob", b"hello")
    network.run_until(lambda: bool(bob.received))
    alice.messaging.on_message_drop.callbacks = ()
    network.run_until_idle()


@pytest.mark.parametrize("name", CALLBACKS)
def test_connection_may_be_closed_inside_every_callback(
    network: MemoryNetwork, alice: Peer, bob: Peer, name: str
) -> None:
    """At the first of several messages that were handled together."""
    closed: list[str] = []

    def close(*args: Any) -> None:
        if alice.link.connections and not closed:
            closed.append(alice.link.connections[0])
            alice.link.close(alice.link.connections[0])

    alice.connect(bob)
    if name == "on_connect":
        network.disconnect(alice.link.connections[0])
        network.run_until_idle()
    getattr(alice.messaging, name).add(close)
    for number in range(5):
        alice.send("nobody", ttl=0)
        alice.send("bob", b"to bob %d" % number)
        bob.send("alice", b"to alice %d" % number)
    network.run_until_idle()
    if name == "on_disconnect":
        network.disconnect(alice.link.connections[0])
    for _ in range(5):
        network.run_until_idle()
        if not alice.link.connections:
            alice.connect(bob)
    assert closed or name == "on_disconnect"
    assert bob.heard == [b"to bob %d" % number for number in range(5)]
    assert alice.heard == [b"to alice %d" % number for number in range(5)]
    assert alice.errors == bob.errors == []
    assert len(alice.dropped) == 5


def test_connection_of_1_6_may_be_closed_inside_on_message_sent(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    old = raw("old")
    old.join(alice, "old")

    def close(conn_id: str, ident: str, uuid: bytes) -> None:
        if conn_id in alice.link.connections:
            alice.link.close(conn_id)

    alice.messaging.on_message_sent.add(close)
    uuids = [alice.send("old", b"%d" % number) for number in range(5)]
    network.run_until_idle()
    raw("again").join(alice, "old")
    assert [uuid for _, _, uuid in alice.sent] == uuids


def test_drop_that_closes_a_connection_loses_nothing_that_was_sent_behind_it(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)

    def close(ident: str, uuid: bytes) -> None:
        if at_alice in alice.link.connections:
            alice.link.close(at_alice)

    alice.messaging.on_message_drop.add(close)
    alice.send("bob", b"only if connected", ttl=0)
    alice.send("nobody", ttl=0)
    alice.send("bob", b"must arrive")
    network.run_until_idle()
    alice.connect(bob)
    assert bob.heard == [b"must arrive"]


@pytest.mark.parametrize("name", [*CALLBACKS[1:], "on_admitted"])
def test_exceptions_in_callbacks_are_reported_and_the_stack_goes_on(
    network: MemoryNetwork,
    alice: Peer,
    bob: Peer,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    error = RuntimeError(f"from {name}")
    later: list[tuple[Any, ...]] = []

    def fail(*args: Any) -> None:
        raise error

    callback = getattr(alice.messaging, name)
    callback.add(fail)
    callback.add(lambda *args: later.append(args))
    make_everything_happen(network, alice, bob)
    assert later
    assert {exc for _, exc in alice.errors} == {error}
    assert any(
        record.exc_info and record.exc_info[1] is error and record.levelno >= logging.ERROR
        for record in caplog.records
    )
    callback.remove(fail)
    make_everything_happen(network, alice, bob)
    assert bob.heard == [b"to bob"] * 2


def test_report_of_an_exception_names_the_connection(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError

    for name in ("on_admitted", "on_message_recv", "on_message_sent", "on_disconnect"):
        getattr(alice.messaging, name).add(fail)
    at_alice, _ = alice.connect(bob)
    alice.send("bob")
    bob.send("alice")
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    assert len(alice.errors) >= 4
    assert {conn_id for conn_id, _ in alice.errors} == {at_alice}


def test_several_exceptions_of_one_event_come_as_a_group(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    errors = [RuntimeError("one"), ValueError("two")]

    def failing(error: Exception) -> Action:
        def fail(*args: Any) -> None:
            raise error

        return fail

    for error in errors:
        alice.messaging.on_admitted.add(failing(error))
    alice.connect(bob)
    ((_, group),) = alice.errors
    assert isinstance(group, ExceptionGroup)
    assert list(group.exceptions) == errors


def test_exception_in_on_error_harms_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer, raw: MakeRawPeer
) -> None:
    alice.connect(bob)
    before = len(alice.errors)

    def fail(conn_id: str | None, exc: Exception) -> None:
        raise RuntimeError("even this one")

    def broken_callback(*args: Any) -> None:
        raise ValueError

    alice.messaging.on_error.callbacks = (fail, *alice.messaging.on_error.callbacks)
    bad = raw()
    bad.join(alice, "bad", b"\3")
    assert not bad.is_connected
    alice.messaging.on_message_drop.add(broken_callback)
    alice.send("nobody", ttl=0)
    bob.send("alice", b"still there?")
    network.run_until_idle()
    assert alice.heard == [b"still there?"]
    assert len(alice.errors) == before + 2  # the callables behind it were called


@pytest.mark.parametrize("error", [SnakeMQBrokenFormat("x"), SnakeMQBrokenMessage("x")])
def test_callback_may_say_that_the_peer_sent_nonsense(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, error: Exception
) -> None:
    def check(conn_id: str, ident: str, message: Message) -> None:
        if message.data == b"nonsense":
            raise error

    alice.messaging.on_message_recv.add(check)
    stranger = raw()
    stranger.join(alice, "bob", message(b"fine"), message(b"nonsense"), message(b"too late"))
    assert not stranger.is_connected
    assert [exc for _, exc in alice.errors] == [error]
    assert alice.heard == [b"fine", b"nonsense"]
    assert len(alice.disconnected) == 1


def test_nonsense_of_a_2_x_peer_is_not_offered_again(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def check(conn_id: str, ident: str, message: Message) -> None:
        if message.data == b"nonsense":
            raise SnakeMQBrokenMessage("nonsense")

    alice.messaging.on_message_recv.add(check)
    alice.connect(bob)
    for data in (b"fine", b"nonsense", b"good"):
        bob.send("alice", data)
    network.run_until_idle()
    for _ in range(3):
        if not alice.link.connections:
            alice.connect(bob)
    assert alice.heard == [b"fine", b"nonsense", b"good"]
    assert len(alice.errors) == 1


def test_callbacks_are_called_on_the_loop(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    where: list[bool] = []
    for name in CALLBACKS:
        getattr(alice.messaging, name).add(lambda *args: where.append(alice.link.in_loop()))
    make_everything_happen(network, alice, bob)
    assert len(where) >= len(CALLBACKS)
    assert all(where)
