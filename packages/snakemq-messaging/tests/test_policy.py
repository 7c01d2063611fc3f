"""Messages that the policy denies reach nobody, and their senders do not repeat them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from memory_peers import (
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
    restart,
)
from memory_peers import message as message_frame

from snakemq.identity import Identity
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import DropReason, Messaging, ReceiveHook
from snakemq.messaging._rate import INTERVAL
from snakemq.policy import Action, Allow, Deny, Rules
from snakemq.queues import MemoryQueuesStorage

FROM_ALICE = Rules([Allow("alice", message=True)])
FROM_NOBODY = Rules()


class Says:
    """A policy that does what it is told."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Action, str]] = []

    def allows(self, identity: Identity, action: Action, target: str, /) -> Any:
        self.asked.append((identity.ident, action, target))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    """A peer that takes messages from alice only."""
    return peer("bob", policy=FROM_ALICE)


@pytest.fixture
def carol(peer: MakePeer) -> Peer:
    return peer("carol")


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "snakemq.audit"]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.name == "snakemq.messaging"]
    return [record.getMessage() for record in records if record.levelname == "WARNING"]


def test_only_messages_that_are_allowed_arrive(
    network: MemoryNetwork, alice: Peer, bob: Peer, carol: Peer
) -> None:
    for sender in (alice, carol):
        sender.connect(bob)
        for number in range(3):
            sender.send("bob", b"%s %d" % (sender.ident.encode(), number))
    network.run_until_idle()
    assert bob.heard == [b"alice 0", b"alice 1", b"alice 2"]
    assert bob.errors == []


@pytest.mark.parametrize("manual_ack", [False, True])
def test_denied_message_is_acknowledged_and_never_comes_again(
    network: MemoryNetwork, peer: MakePeer, carol: Peer, manual_ack: bool
) -> None:
    bob = peer("bob", policy=FROM_NOBODY, manual_ack=manual_ack)
    carol.connect(bob)
    carol.send("bob", b"first")
    carol.send("bob", b"second")
    network.run_until_idle()
    assert carol.messaging.outstanding("bob") == (0, 0)
    assert carol.messaging.stats().peers["bob"].in_flight == 0
    bob.messaging.policy = None
    carol.send("bob", b"third")
    network.run_until_idle()
    assert bob.heard == [b"third"]


@pytest.mark.parametrize("manual_ack", [False, True])
@pytest.mark.parametrize("ttl", [0, None])
def test_sender_is_told_that_its_message_was_rejected(
    network: MemoryNetwork, peer: MakePeer, carol: Peer, manual_ack: bool, ttl: float | None
) -> None:
    bob = peer("bob", policy=FROM_NOBODY, manual_ack=manual_ack)
    delivered: list[object] = []
    dropped: list[tuple[bytes, DropReason, str]] = []
    carol.messaging.on_message_delivered.add(lambda *args: delivered.append(args))
    carol.messaging.on_message_dropped.add(
        lambda _ident, message, reason, text: dropped.append((message.data, reason, text))
    )
    carol.connect(bob)
    carol.send("bob", b"first", ttl)
    carol.send("bob", b"second", ttl)
    network.advance(1)
    assert delivered == []
    assert dropped == [(data, DropReason.REJECTED, "not allowed") for data in (b"first", b"second")]


REJECTED = struct.pack("!BQB", 23, 1, 3) + b"not allowed"
"""The first message of the connection is rejected, with the code for what is denied."""


def answers(raw: RawPeer) -> list[bytes]:
    return [frame for frame in raw.frames if frame[0] in (17, 23)]


def come(raw: RawPeer, peer: Peer, bits: int = 0x11) -> list[bytes]:
    """Connect, send a message that is always the same, and return what the peer says about it."""
    raw.frames.clear()
    frame = message_frame(b"data", b"u" * 16)
    raw.connect(peer)
    raw.say(VERSION, features(bits=bits), identification("raw"), frame)
    said = answers(raw)
    raw.network.disconnect(raw.conn_id)
    raw.network.run_until_idle()
    return said


def test_message_that_comes_again_is_rejected_again(alice: Peer, raw: MakeRawPeer) -> None:
    stranger = raw()
    alice.messaging.policy = FROM_NOBODY
    assert come(stranger, alice)[0] == REJECTED
    alice.messaging.policy = None
    assert come(stranger, alice)[0] == REJECTED
    assert alice.heard == []
    assert alice.messaging.stats().peers["raw"].refused == 1


def test_inbox_knows_in_the_next_process_what_was_rejected(
    peer: MakePeer, raw: MakeRawPeer
) -> None:
    inbox, stranger = MemoryQueuesStorage(), raw()
    come(stranger, peer("bob", inbox=inbox, policy=FROM_NOBODY, name="first"))
    second = peer("bob", inbox=restart(inbox), name="second")
    assert come(stranger, second)[0][0] == 23
    assert second.heard == []


def test_older_2x_peer_gets_a_plain_ack(alice: Peer, raw: MakeRawPeer) -> None:
    alice.messaging.policy = FROM_NOBODY
    assert come(raw(), alice, bits=0x1) == [struct.pack("!BQ", 17, 1)]


def test_denied_messages_need_no_room_among_the_prefetched(
    network: MemoryNetwork, peer: MakePeer, carol: Peer
) -> None:
    bob = peer("bob", policy=FROM_NOBODY, manual_ack=True, prefetch=1)
    carol.connect(bob)
    for _ in range(10):
        carol.send("bob", b"data")
    network.advance(1)
    assert bob.messaging.stats().peers["carol"].refused == 10
    assert carol.messaging.outstanding("bob") == (0, 0)


def test_denied_message_of_an_older_peer_reaches_nobody(alice: Peer, raw: MakeRawPeer) -> None:
    alice.messaging.policy = Rules([Allow("bob", message=True)])
    for ident in ("bob", "mallory"):
        raw(ident).join(alice, ident, message_frame(ident.encode()))
    assert alice.heard == [b"bob"]


def test_denied_message_in_many_packets_reaches_nobody(
    network: MemoryNetwork, bob: Peer, carol: Peer
) -> None:
    carol.connect(bob)
    carol.send("bob", bytes(1_000_000))
    network.run_until_idle()
    assert bob.heard == []
    assert bob.messaging.stats().peers["carol"].refused == 1


def test_no_callback_hears_about_a_denied_message(
    network: MemoryNetwork, bob: Peer, carol: Peer
) -> None:
    heard: list[object] = []
    ReceiveHook(bob.messaging).register(b"", lambda *args: heard.append(args))
    for event in (bob.messaging.on_message_reject, bob.messaging.on_message_forgotten):
        event.add(lambda *args: heard.append(args))
    carol.connect(bob)
    carol.send("bob", b"data")
    network.run_until_idle()
    assert heard == bob.received == []


def test_refusals_are_counted_and_audited(
    network: MemoryNetwork, bob: Peer, carol: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    carol.connect(bob)
    for _ in range(5):
        carol.send("bob", b"data")
    network.run_until_idle()
    stats = bob.messaging.stats().peers["carol"]
    assert (stats.refused, stats.received, stats.rejected) == (5, 5, 0)
    (line,) = audit_lines(caplog)
    assert line.startswith("refused message: ident='carol' address=")
    assert "data" not in line


def test_policy_can_be_replaced_at_any_time(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    for policy in (FROM_ALICE, FROM_NOBODY, None, Rules([Deny("*", message=True)]), FROM_ALICE):
        bob.messaging.policy = policy
        alice.send("bob", repr(policy).encode())
        network.run_until_idle()
    assert bob.heard == [repr(FROM_ALICE).encode(), b"None", repr(FROM_ALICE).encode()]


def test_message_that_is_offered_again_is_judged_again(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("on purpose")

    bob.messaging.on_message_recv.add(fails)
    alice.connect(bob)
    alice.send("bob", b"data", ttl=None)
    network.run_until_idle()
    assert bob.heard == [b"data"]
    bob.messaging.policy = FROM_NOBODY
    network.advance(3600)
    assert bob.heard == [b"data"]
    assert bob.messaging.stats().peers["alice"].refused == 1
    assert alice.messaging.stats().peers["bob"].in_flight == 0


def test_policy_is_asked_once_for_all_messages_of_a_batch(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    policy = Says(True)
    alice.messaging.policy = policy
    frames = (message_frame(b"%d" % n, b"%016d" % n) for n in range(100))
    bob = raw("bob")
    bob.join(alice, "bob")
    bob.say(*frames)
    assert len(alice.heard) == 100
    assert policy.asked == [("bob", "message", "")]


@pytest.mark.parametrize("answer", [False, None, 1, "yes", object()])
def test_only_true_allows(network: MemoryNetwork, alice: Peer, bob: Peer, answer: object) -> None:
    bob.messaging.policy = Says(answer)
    alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    assert bob.heard == []


def test_policy_that_raises_refuses_and_is_logged_once(
    network: MemoryNetwork, alice: Peer, bob: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    def errors() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

    bob.messaging.policy = Says(KeyError("on purpose"))
    alice.connect(bob)
    for _ in range(3):
        alice.send("bob", b"data")
        network.run_until_idle()
    assert bob.heard == []
    (line,) = errors()
    assert line.startswith("the policy raised, so what it was asked for is refused")
    network.advance(INTERVAL)
    alice.send("bob", b"data")
    network.run_until_idle()
    assert len(errors()) == 2


def test_something_else_is_not_a_policy(alice: Peer) -> None:
    with pytest.raises(TypeError, match="policy must be None or a Policy, not 3"):
        alice.messaging.policy = 3  # type: ignore[assignment]


def test_policy_without_an_authenticator_is_warned_about_once(
    peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    alice = peer("alice", policy=FROM_NOBODY)
    alice.messaging.policy = FROM_ALICE
    (line,) = warnings_of(caplog)
    assert "there is a policy but no authenticator" in line


class Believing:
    """An authenticator that believes everybody."""

    def check(self, claimed: str, connection: object) -> Identity:
        return Identity(claimed)


def test_policy_with_an_authenticator_is_not_warned_about(
    peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    peer("alice", policy=FROM_NOBODY, authenticator=Believing())
    assert warnings_of(caplog) == []


def test_policy_sees_what_the_authenticator_has_proven(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    seen: list[Identity] = []

    class Sees:
        def allows(self, identity: Identity, action: Action, target: str, /) -> bool:
            seen.append(identity)
            return True

    alice.connect(peer("bob", policy=Sees(), authenticator=Believing()))
    alice.send("bob", b"data")
    network.run_until_idle()
    assert [identity.ident for identity in seen] == ["alice"]
    assert all(identity.is_proven for identity in seen)


# -- layers above


def test_layer_claims_messages_that_have_rights_of_their_own(
    network: MemoryNetwork, bob: Peer, carol: Peer
) -> None:
    hook = ReceiveHook(bob.messaging)
    claimed: list[bytes] = []

    def claim(conn_id: str, ident: str, message: Message) -> bool:
        claimed.append(message.data)
        return message.data.endswith(b"yes")

    hook.register(b"rpc", lambda *_: pytest.fail("it is denied as a message"), claim=claim)
    hook.register(b"", lambda *_: pytest.fail("it has no rights of its own"))
    carol.connect(bob)
    for data in (b"rpc yes", b"rpc no", b"other yes"):
        carol.send("bob", data)
    network.run_until_idle()
    assert claimed == [b"rpc yes", b"rpc no"]
    assert bob.heard == []
    assert bob.messaging.stats().peers["carol"].refused == 2
    assert carol.messaging.outstanding("bob") == (0, 0)


@pytest.mark.parametrize("gone", ["unregister", "clear", "close", "replace"])
def test_nothing_is_claimed_once_the_pattern_is_gone(
    network: MemoryNetwork, bob: Peer, carol: Peer, gone: str
) -> None:
    hook = ReceiveHook(bob.messaging)
    hook.register(b"rpc", print, claim=lambda *_: pytest.fail("it is gone"))
    if gone == "unregister":
        hook.unregister(b"rpc")
    elif gone == "replace":
        hook.register(b"rpc", print)
    else:
        getattr(hook, gone)()
    carol.connect(bob)
    carol.send("bob", b"rpc")
    network.run_until_idle()
    assert bob.messaging.stats().peers["carol"].refused == 1


def test_allowed_message_goes_to_the_callback_and_not_to_the_claim(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    hook, heard = ReceiveHook(bob.messaging), []
    hook.register(
        b"rpc", lambda *args: heard.append(args), claim=lambda *_: pytest.fail("it is allowed")
    )
    alice.connect(bob)
    alice.send("bob", b"rpc")
    network.run_until_idle()
    assert len(heard) == 1


def test_layer_asks_the_policy_and_reports_refusals(
    alice: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    messaging: Messaging = alice.messaging
    bob = Identity("bob", address="192.0.2.1:4000")
    assert messaging.allows(bob, "call", "calculator.add")
    messaging.policy = Rules([Allow("@g", call="calculator.*")], groups={"g": ["bob"]})
    assert messaging.allows(bob, "call", "calculator.add")
    assert not messaging.allows(bob, "call", "shop.order")
    assert messaging.is_member(bob, "g")
    assert not messaging.is_member(bob, "h")
    messaging.refused(bob, "call", "shop.order")
    assert audit_lines(caplog) == [
        "refused call: ident='bob' address='192.0.2.1:4000' 'shop.order'"
    ]
    messaging.policy = Says(True)
    assert not messaging.is_member(bob, "g")


def test_policy_that_fails_to_know_its_groups_has_no_members(alice: Peer) -> None:
    class Broken(Says):
        def is_member(self, identity: Identity, group: str, /) -> bool:
            raise KeyError(group)

    alice.messaging.policy = Broken(True)
    assert not alice.messaging.is_member(Identity("bob"), "g")
