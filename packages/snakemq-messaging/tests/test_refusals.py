"""Peers that are turned away are told why."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest
from memory_peers import VERSION, MakeRawPeer, Peer, RawPeer, features, identification, message

from snakemq.exceptions import (
    ConnectFailed,
    SnakeMQBrokenMessage,
    SnakeMQDuplicateIdent,
    SnakeMQFlood,
    SnakeMQRefused,
)
from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import Messaging
from snakemq.messaging._wire import _frames as frames
from snakemq.packeter import Packeter

DEADLINE = 20.0

TAKEN = bytes.fromhex("13 01")
BROKEN = bytes.fromhex("13 02")
FLOOD = bytes.fromhex("13 03")


@pytest.fixture
def network() -> Iterator[MemoryNetwork]:
    """One that takes over at once what is sent at once, as systems do."""
    network = MemoryNetwork(at_once=True)
    yield network
    assert network.errors == []


def last_words(raw: RawPeer, network: MemoryNetwork) -> bytes:
    network.run_until_idle()
    assert not raw.is_connected
    return raw.frames[-1]


def test_peer_whose_ident_is_taken_is_told(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    owner, challenger = raw("owner"), raw("challenger")
    owner.join(alice, "bob")
    challenger.connect(alice)
    challenger.say(VERSION, features(), identification("bob"))
    network.run_until_idle()
    owner.say(b"\x05")
    why = b"'bob' is connected already, and alive: two processes have this ident"
    assert last_words(challenger, network) == TAKEN + why


def test_peer_that_breaks_the_rules_is_told_no_more_than_that(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    def complain(*args: object) -> None:
        raise SnakeMQBrokenMessage("a secret of the application")

    alice.messaging.on_message_recv.add(complain)
    bob = raw("bob")
    bob.connect(alice)
    bob.say(VERSION, features(), identification("bob"))
    network.run_until_idle()
    bob.say(message(b"nonsense"))
    assert last_words(bob, network) == BROKEN + b"what was sent breaks the rules of the protocol"


def test_peer_that_floods_is_told(network: MemoryNetwork, alice: Peer, raw: MakeRawPeer) -> None:
    bob = raw("bob")
    bob.connect(alice)
    bob.say(VERSION, features(), identification("bob"), *[b"\x04"] * 1000)
    network.run_until_idle()
    bob.say(b"\x04")
    assert last_words(bob, network)[:2] == FLOOD
    assert alice.kinds_of_errors == [SnakeMQFlood]


def test_peer_of_1_6_is_told_nothing(network: MemoryNetwork, alice: Peer, raw: MakeRawPeer) -> None:
    bob = raw("bob")
    bob.connect(alice)
    bob.say(VERSION, identification("bob"), b"\x03")
    network.run_until_idle()
    assert not bob.is_connected
    assert [frame[0] for frame in bob.frames] == [0, 16, 2]


@pytest.mark.parametrize("introduction", [[VERSION, features()], [identification("bob")]])
def test_what_the_peer_says_is_the_error_with_its_words_escaped(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, introduction: list[bytes]
) -> None:
    bob = raw("bob")
    bob.connect(alice)
    bob.say(*introduction, TAKEN + b"evil\n\x1b[31m\xff" + b"x" * 4000)
    network.run_until_idle()
    ((_, error),) = alice.errors
    assert isinstance(error, SnakeMQRefused)
    assert r"evil\n\x1b[31m" in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 300
    assert not bob.is_connected
    assert bob.frames[-1][0] != 19  # a refusal is not refused


def test_refusal_without_a_code_breaks_the_rules(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    bob = raw("bob")
    bob.join(alice, "bob")
    bob.say(b"\x13")
    network.run_until_idle()
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]


@pytest.mark.parametrize("reason", ["", "why", "ř" * 100, "x" + "ř" * 100, "x" * 1000, "\ud800"])
def test_reason_has_an_end_and_is_whole_text(reason: str) -> None:
    frame = frames.encode_refused(frames.Refusal.TAKEN_IDENT, reason)
    code, text = frames.decode_refused(frame)
    assert code == 1
    assert len(frame) <= 2 + frames.MAX_REASON_LENGTH
    assert reason.encode(errors="replace").decode().startswith(text)
    assert "\ufffd" not in text


# -- over sockets, where a connector tries again and again


class Stack:
    def __init__(self, ident: str) -> None:
        self.link = Link()
        self.messaging = Messaging(ident, "", Packeter(self.link))
        self.errors: list[Exception] = []
        self.messaging.on_error = lambda _conn_id, error: self.errors.append(error)
        self.disconnected = 0
        self.link.on_disconnect = self._count

    def _count(self, _conn_id: str) -> None:
        self.disconnected += 1


@pytest.fixture
def stack() -> Iterator[Callable[[str], Stack]]:
    stacks: list[Stack] = []

    def make(ident: str) -> Stack:
        stacks.append(Stack(ident))
        return stacks[-1]

    yield make
    for one in stacks:
        one.link.cleanup()


def run_until(predicate: Callable[[], object], *stacks: Stack) -> None:
    deadline = time.monotonic() + DEADLINE
    while not predicate():
        assert time.monotonic() < deadline, "waited in vain"
        for stack in stacks:
            stack.link.loop(runtime=0.002)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_dialler_whose_ident_is_taken_and_the_other_side_say_so_once(
    stack: Callable[[str], Stack], caplog: pytest.LogCaptureFixture
) -> None:
    server, first, second = stack("server"), stack("worker"), stack("worker")
    address = server.link.add_listener(("127.0.0.1", 0))
    first.link.add_connector(address)
    run_until(lambda: server.messaging.is_connected("worker"), server, first)
    second.link.add_connector(address)
    run_until(lambda: len(second.errors) >= 4, server, first, second)
    at_server, at_second = warnings_of(caplog)
    assert "'worker' is connected already, and alive: two processes have this ident" in at_server
    assert at_server.startswith("connection from ('127.0.0.1', ")
    assert "'worker' is connected already, and alive: two processes have this ident" in at_second
    assert at_second.startswith(f"cannot connect to {address!r}: refused by the other side")
    assert {type(error) for error in second.errors} == {SnakeMQRefused}
    assert {type(error) for error in server.errors} == {SnakeMQDuplicateIdent}
    assert first.disconnected == 0


def test_stack_that_dials_its_own_listener_says_so_once(
    stack: Callable[[str], Stack], caplog: pytest.LogCaptureFixture
) -> None:
    alice = stack("alice")
    address = alice.link.add_listener(("127.0.0.1", 0))
    alice.link.add_connector(address)
    run_until(lambda: alice.disconnected >= 8, alice)
    reason = "'alice' is this very stack: its connector has dialled its own listener"
    for warning in warnings_of(caplog):
        assert reason in warning
    assert 1 <= len(warnings_of(caplog)) <= 3
    assert any(isinstance(error, SnakeMQDuplicateIdent) for error in alice.errors)
    assert not alice.messaging.is_connected("alice")


def test_connection_that_is_closed_at_once_is_an_error_of_messaging_once(
    stack: Callable[[str], Stack],
) -> None:
    alice, bob = stack("alice"), stack("bob")
    bob.link.max_connections = 0
    address = bob.link.add_listener(("127.0.0.1", 0))
    alice.link.add_connector(address)
    run_until(lambda: alice.disconnected >= 3, alice, bob)
    (error,) = alice.errors
    assert isinstance(error, ConnectFailed)
    assert error.address == address
    assert "closed by the other side at once" in str(error)
    (refusal,) = bob.errors
    assert "max_connections is reached: 0" in str(refusal)


def test_peer_that_is_away_is_not_an_error(stack: Callable[[str], Stack]) -> None:
    alice, nobody = stack("alice"), stack("nobody")
    address = nobody.link.add_listener(("127.0.0.1", 0))
    nobody.link.del_listener(address)
    alice.link.add_connector(address)
    run_until(lambda: alice.link._dialling.connectors[address]._failures.count >= 3, alice)
    assert alice.errors == []
