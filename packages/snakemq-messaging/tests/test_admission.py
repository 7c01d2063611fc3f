"""A callback of on_connect that raises refuses the peer: nothing is sent to it or taken of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from memory_peers import (
    PONG,
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
    message,
)

from snakemq.exceptions import SnakeMQNotAdmitted, SnakeMQTimeout
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

INTRODUCTION = 3
"""Frames that everybody is told: version, features, ident."""

ERROR = KeyError("subjectAltName")


def refuse(conn_id: str, ident: str) -> None:
    raise ERROR


def test_a_check_that_raises_closes_the_connection(alice: Peer, raw: MakeRawPeer) -> None:
    alice.messaging.on_connect.add(refuse)
    stranger = raw()
    conn_id = stranger.join(alice, "bob")
    assert not stranger.is_connected
    ((reported_for, error),) = alice.errors
    assert reported_for == conn_id
    assert isinstance(error, SnakeMQNotAdmitted)
    assert error.__cause__ is ERROR
    assert not alice.messaging.is_connected("bob")


def test_its_traceback_is_logged_once_a_minute(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    alice.messaging.on_connect.add(refuse)
    stranger = raw()
    for minute in (1, 2):
        for number in range(5):
            stranger.join(alice, f"bob {number}")
        tracebacks = [r.exc_info for r in caplog.records if r.exc_info]
        assert [info[1] for info in tracebacks] == [ERROR] * minute
        network.advance(60)
    assert len(alice.errors) == 10


def test_a_check_that_closes_and_raises_is_logged_once_a_minute(
    alice: Peer, raw: MakeRawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    def close_and_refuse(conn_id: str, ident: str) -> None:
        alice.link.close(conn_id)
        refuse(conn_id, ident)

    alice.messaging.on_connect.add(close_and_refuse)
    stranger = raw()
    for number in range(5):
        stranger.join(alice, f"bob {number}")
    assert [r.exc_info[1] for r in caplog.records if r.exc_info] == [ERROR]
    assert len(alice.errors) == 5


def test_each_fault_of_a_check_has_its_traceback(
    alice: Peer, raw: MakeRawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    def check(_conn_id: str, ident: str) -> None:
        if ident == "bob":
            raise KeyError(ident)
        raise KeyError(ident)

    alice.messaging.on_connect.add(check)
    stranger = raw()
    for ident in ("bob", "carol", "dan", "bob"):
        stranger.join(alice, ident)
    assert len([r for r in caplog.records if r.exc_info]) == 2


@pytest.mark.parametrize("ttl", [0, 60, None])
@pytest.mark.parametrize("acks", [False, True])
def test_no_message_that_waits_leaves(
    alice: Peer, raw: MakeRawPeer, ttl: float | None, acks: bool
) -> None:
    alice.messaging.on_connect.add(refuse)
    alice.send("bob", b"secret", ttl)
    alice.messaging.on_connect.add(lambda conn_id, ident: None)
    stranger = raw()
    stranger.connect(alice)
    stranger.say(VERSION, features(bits=int(acks)), identification("bob"))
    assert len(stranger.frames) == INTRODUCTION
    assert stranger.messages == []


def test_a_message_that_a_callback_sends_does_not_leave_either(
    alice: Peer, raw: MakeRawPeer
) -> None:
    for urgent in (False, True):
        alice.messaging.on_connect.add(
            lambda _conn_id, ident, urgent=urgent: alice.messaging.send_message(  # type: ignore[misc]
                ident, Message(b"hello"), urgent=urgent
            )
        )
    alice.messaging.on_connect.add(refuse)
    stranger = raw()
    stranger.connect(alice)
    window = bytes.fromhex("10 0001 00000001 0000000000000007 00001000 01000000 40000000")
    stranger.say(VERSION, window, identification("bob"))
    assert len(stranger.frames) == INTRODUCTION
    assert len(alice.dropped) == 2


def test_what_waits_goes_to_the_one_that_is_admitted(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, peer: MakePeer
) -> None:
    liars = ["the first"]

    def check(conn_id: str, ident: str) -> None:
        if liars:
            raise ValueError(liars.pop())

    alice.messaging.on_connect.add(check)
    alice.send("bob", b"0")
    alice.send("bob", b"1", flags=FLAG_PERSISTENT)
    raw().join(alice, "bob")
    bob = peer("bob")
    alice.connect(bob)
    assert bob.heard == [b"0", b"1"]
    assert alice.dropped == []


def test_nothing_of_it_is_taken(alice: Peer, raw: MakeRawPeer) -> None:
    alice.messaging.on_connect.add(refuse)
    stranger = raw()
    stranger.connect(alice)
    stranger.say(VERSION, features(bits=1), identification("bob"), message(b"one"), message(b"two"))
    stranger.network.advance(10)
    assert alice.received == []
    assert len(stranger.frames) == INTRODUCTION  # and so no ack


def test_those_after_one_that_raises_are_not_called(alice: Peer, raw: MakeRawPeer) -> None:
    called: list[str] = []
    alice.messaging.on_connect.add(lambda *_: called.append("before"))
    alice.messaging.on_connect.add(refuse)
    alice.messaging.on_connect.add(lambda *_: called.append("after"))
    alice.messaging.on_admitted.add(lambda *_: called.append("admitted"))
    raw().join(alice, "bob")
    assert called == ["before"]


def test_on_disconnect_is_called_for_it(alice: Peer, raw: MakeRawPeer) -> None:
    alice.messaging.on_connect.add(refuse)
    conn_id = raw().join(alice, "bob")
    assert alice.connected == alice.disconnected == [(conn_id, "bob")]


def test_a_callback_that_closes_and_raises_is_reported_as_any_other(
    alice: Peer, raw: MakeRawPeer
) -> None:
    def close(conn_id: str, ident: str) -> None:
        alice.link.close(conn_id)
        raise ERROR

    alice.messaging.on_connect.add(close)
    raw().join(alice, "bob")
    assert [exc for _, exc in alice.errors] == [ERROR]


def test_while_the_callbacks_run_the_peer_counts_as_connected(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """So that a message with ttl 0 that is sent there waits for the end of the checks."""
    seen: list[bool] = []

    def greet(conn_id: str, ident: str) -> None:
        seen.append(alice.messaging.is_connected(ident))
        alice.send(ident, b"hello", ttl=0)

    alice.messaging.on_connect.add(greet)
    alice.connect(bob)
    assert seen == [True]
    assert bob.heard == [b"hello"]
    assert alice.dropped == []


def test_on_admitted_is_called_when_all_have_agreed(alice: Peer, bob: Peer) -> None:
    called: list[str] = []
    alice.messaging.on_admitted.add(lambda *_: called.append("admitted"))
    alice.messaging.on_connect.add(lambda *_: called.append("checked"))
    alice.connect(bob)
    assert called == ["checked", "admitted"]


def test_a_challenger_that_wins_is_checked_too(
    network: MemoryNetwork, alice: Peer, bob: Peer, raw: MakeRawPeer
) -> None:
    alice.connect(bob)
    alice.messaging.on_connect.add(refuse)
    network.vanish(bob.link)
    alice.send("bob", b"secret")
    liar = raw("liar")
    liar.join(alice, "bob", message(b"of the liar"))
    network.advance(60)
    assert not liar.is_connected
    assert alice.kinds_of_errors == [SnakeMQTimeout, SnakeMQNotAdmitted]
    assert alice.received == []
    assert liar.messages == []


def test_statistics_do_not_count_the_connection_of_a_refused_peer(
    alice: Peer, raw: MakeRawPeer
) -> None:
    alice.messaging.on_connect.add(refuse)
    for name in ("one", "two"):
        raw(name).join(alice, "bob")
    stats = alice.messaging.stats()
    assert (stats.connections, stats.connected, stats.reconnected) == (0, 0, 0)


def test_persistent_messages_stay_in_the_storage(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer
) -> None:
    storage = MemoryQueuesStorage()
    carol = peer("carol", storage)
    carol.messaging.on_connect.add(refuse)
    carol.send("bob", b"kept", flags=FLAG_PERSISTENT)
    for name in ("one", "two"):
        raw(name).join(carol, "bob")
    network.advance(10)
    assert [stored.data for stored in storage.get_items("bob")] == [b"kept"]


def test_ctrl_c_in_a_check_closes_the_connection(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    def interrupt(conn_id: str, ident: str) -> None:
        raise KeyboardInterrupt

    alice.messaging.on_connect.add(interrupt)
    alice.send("bob", b"secret")
    stranger = raw()
    stranger.connect(alice)
    with pytest.raises(KeyboardInterrupt):
        stranger.say(VERSION, identification("bob"), message(b"hello"))
    network.run_until_idle()
    assert not stranger.is_connected
    assert alice.received == []
    assert stranger.messages == []


def test_ctrl_c_in_the_check_of_a_challenger_closes_it_too(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    owner, challenger = raw("owner"), raw("challenger")
    owner.join(alice, "bob")

    def interrupt(conn_id: str, ident: str) -> None:
        raise KeyboardInterrupt

    challenger.join(alice, "bob", message(b"hello"))
    alice.messaging.on_connect.add(interrupt)
    owner.link.close(owner.conn_id)
    with pytest.raises(KeyboardInterrupt):
        network.run_until_idle()
    challenger.say(PONG, message(b"again"))
    assert not challenger.is_connected
    assert alice.received == []


Make = Callable[[MemoryNetwork], Messaging]


@pytest.mark.parametrize("layer", ["link", "packeter"])
def test_a_check_of_a_layer_below_that_raises_closes_too(layer: str) -> None:
    network = MemoryNetwork()
    alice = Peer(network, "alice")
    below = alice.link if layer == "link" else alice.packeter

    def check(conn_id: str) -> None:
        raise ERROR

    below.on_connect.add(check)
    stranger = RawPeer(network)
    stranger.connect(alice)
    network.run_until_idle()
    assert not stranger.is_connected
    assert stranger.stream == b""
    assert (network.errors == [ERROR]) == (layer == "link")
    assert [exc for _, exc in alice.errors] == ([] if layer == "link" else [ERROR])


def test_a_packeter_of_its_own_is_not_disturbed() -> None:
    """Its check closes the connection once, over a throttle, too."""
    network = MemoryNetwork()
    packeter = Packeter(network.link("alice"))
    errors: list[Exception] = []
    packeter.on_error.add(lambda _conn_id, exc: errors.append(exc))

    def check(conn_id: str) -> None:
        packeter.link.close(conn_id)
        raise ERROR

    packeter.on_connect.add(check)
    network.connect(network.links["alice"], network.link("bob"))
    network.run_until_idle()
    assert errors == [ERROR]
    assert network.errors == []
