"""A peer proves its ident before anything leaves, and before anybody else is disturbed."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from memory_peers import (
    PING,
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
    message,
)

from snakemq.exceptions import NoConnection, NotProven, SnakeMQRefused
from snakemq.identity import AnyOf, CertificateIdents, Identity, Proof
from snakemq.link import CertificateCheck, PeerCredentials
from snakemq.link.testing import MemoryNetwork
from snakemq.link.testing._end import End
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

AUTHENTICATOR = CertificateIdents("spiffe://corp.example/{ident}")
REFUSED_FRAME = b"\x13\x04the ident is not proven"
INTRODUCTION = 3
"""Frames that everybody is told: version, features, ident."""


def certificate(*uris: str) -> PeerCredentials:
    """What TLS says about a peer with these names."""
    names = tuple(("URI", uri) for uri in uris)
    return PeerCredentials(
        is_tls=True,
        checked_against=CertificateCheck.CA_CERTS,
        certificate=b"DER of " + repr(names).encode(),
        certificate_fields={"subjectAltName": names},
    )


OF_BOB = certificate("spiffe://corp.example/bob")
OF_MALLORY = certificate("spiffe://corp.example/mallory")


class Says:
    """An authenticator that does what it is told."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def check(self, claimed: str, connection: PeerCredentials) -> Any:
        self.asked.append(claimed)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def alice(peer: MakePeer) -> Peer:
    return peer("alice", authenticator=AUTHENTICATOR)


@pytest.fixture
def liar(raw: MakeRawPeer) -> RawPeer:
    liar = raw("liar")
    liar.link.credentials = OF_MALLORY
    return liar


@pytest.fixture
def honest(peer: MakePeer) -> Peer:
    """The owner of the ident "bob"."""
    bob = peer("bob")
    bob.link.credentials = OF_BOB
    return bob


def test_a_peer_that_proves_its_ident_is_admitted(alice: Peer, honest: Peer) -> None:
    alice.send("bob", b"for bob")
    alice.connect(honest)
    honest.send("alice", b"from bob")
    honest.network.run_until_idle()
    assert (alice.heard, honest.heard) == ([b"from bob"], [b"for bob"])
    assert alice.errors == []


def test_one_that_does_not_is_closed_and_reported(alice: Peer, liar: RawPeer) -> None:
    conn_id = liar.join(alice, "bob")
    assert not liar.is_connected
    ((reported_for, error),) = alice.errors
    assert reported_for == conn_id
    assert isinstance(error, NotProven)
    assert str(error) == "'bob' is not proven: its certificate has another name"
    assert alice.messaging.stats().not_proven == 1
    assert alice.connected == alice.disconnected == []


@pytest.mark.parametrize("bits", [0, 1])
def test_nothing_that_waits_leaves_and_nothing_is_taken(
    alice: Peer, liar: RawPeer, bits: int
) -> None:
    alice.send("bob", b"secret")
    alice.send("bob", b"kept", flags=FLAG_PERSISTENT)
    liar.connect(alice)
    liar.say(VERSION, features(bits=bits), identification("bob"), message(b"a lie"), PING)
    liar.network.advance(10)
    assert len(liar.frames) == INTRODUCTION
    assert alice.received == []
    assert alice.dropped == []


@pytest.mark.parametrize("is_old", [False, True])
def test_the_liar_is_told_that_but_not_why(is_old: bool) -> None:
    """Not if it is a 1.6 peer, which does not know that frame."""
    network = MemoryNetwork(at_once=True)
    alice, liar = Peer(network, "alice", authenticator=AUTHENTICATOR), RawPeer(network)
    liar.connect(alice)
    liar.say(*([VERSION] if is_old else [VERSION, features()]), identification("bob"))
    assert liar.frames[INTRODUCTION:] == ([] if is_old else [REFUSED_FRAME])


def test_the_owner_is_not_even_pinged_when_somebody_lies(
    alice: Peer, honest: Peer, raw: MakeRawPeer
) -> None:
    owner = raw("owner")
    owner.link.credentials = OF_BOB
    owner.join(alice, "bob")
    heard = len(owner.frames)
    for number in range(5):
        liar = raw(f"liar {number}")
        liar.link.credentials = OF_MALLORY
        liar.join(alice, "bob", message(b"a lie"))
        assert not liar.is_connected
    owner.network.advance(60)
    assert owner.is_connected
    assert len(owner.frames) == heard


def test_a_slow_owner_stays_when_somebody_lies(
    alice: Peer, liar: RawPeer, raw: MakeRawPeer
) -> None:
    """Without a proof, an owner that is silent for long enough would be replaced."""
    owner = raw("owner")
    owner.link.credentials = OF_BOB
    owner.join(alice, "bob")
    owner.link.pause_reading(owner.conn_id)
    for _ in range(3):
        liar.join(alice, "bob")
        liar.network.advance(60)
    assert owner.is_connected
    assert alice.disconnected == []


def test_a_liar_does_not_join_a_contest_of_honest_ones(
    alice: Peer, liar: RawPeer, raw: MakeRawPeer
) -> None:
    """Only one challenger is heard at a time: a liar must not be it."""
    owner, challenger = raw("owner"), raw("challenger")
    owner.link.credentials = challenger.link.credentials = OF_BOB
    owner.join(alice, "bob")
    alice.network.vanish(owner.link)
    liar.join(alice, "bob")
    challenger.join(alice, "bob", message(b"I am back"))
    liar.join(alice, "bob")
    alice.network.advance(60)
    assert challenger.is_connected
    assert alice.heard == [b"I am back"]


def test_the_authenticator_is_asked_once_and_before_any_callback(
    peer: MakePeer, raw: MakeRawPeer
) -> None:
    order: list[str] = []

    class Noting:
        def check(self, claimed: str, connection: PeerCredentials) -> Identity:
            order.append("proven")
            return Identity(claimed)

    alice = peer("alice", authenticator=Noting())
    alice.messaging.on_connect.add(lambda *_: order.append("connected"))
    bob = raw()
    bob.join(alice, "bob", identification("bob"), identification("carol"), message(b"hello"))
    assert order == ["proven", "connected"]
    assert alice.heard == [b"hello"]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        "bob",
        ("bob", "", Proof.OTHER, frozenset(), None, ""),
        Identity("carol"),
        Identity("BOB"),
        Identity("bob\0"),
        NotProven("no"),
        KeyError("subjectAltName"),
        NoConnection("gone"),
        SnakeMQRefused("an error of another kind"),
    ],
    ids=repr,
)
def test_anything_but_the_identity_closes(peer: MakePeer, raw: MakeRawPeer, answer: object) -> None:
    alice = peer("alice", authenticator=Says(answer))
    alice.send("bob", b"secret")
    stranger = raw()
    stranger.join(alice, "bob", message(b"a lie"))
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [NotProven]
    assert stranger.messages == []
    assert alice.received == []


def test_an_authenticator_that_closes_the_connection_admits_nobody(
    peer: MakePeer, raw: MakeRawPeer
) -> None:
    for raises in (False, True):
        carol = peer(f"carol {raises}")

        class Closing:
            def check(self, claimed: str, connection: PeerCredentials) -> Identity:
                carol.link.close(carol.link.connections[0])  # noqa: B023
                if raises:  # noqa: B023
                    raise NotProven("it is closed")
                return Identity(claimed)

        carol.messaging.authenticator = Closing()
        stranger = raw(f"stranger {raises}")
        stranger.join(carol, "bob")
        assert not stranger.is_connected
        assert carol.connected == []
        assert carol.kinds_of_errors == [NotProven] * raises


def test_a_fault_of_an_authenticator_has_its_traceback_once_a_minute(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    fault = KeyError("subjectAltName")
    alice = peer("alice", authenticator=Says(fault))
    stranger = raw()
    for minute in (1, 2):
        for number in range(5):
            stranger.join(alice, f"bob {number}")
        assert [r.exc_info[1] for r in caplog.records if r.exc_info] == [fault] * minute
        network.advance(60)
    assert all(error.__cause__ is fault for _, error in alice.errors)


def test_a_link_that_cannot_tell_the_credentials_admits_nobody(
    peer: MakePeer, raw: MakeRawPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = peer("alice", authenticator=Says(Identity("bob")))
    stranger = raw()
    stranger.connect(alice)

    def fail(self: End) -> PeerCredentials:
        raise ValueError("handshake not done yet")

    monkeypatch.setattr(End, "credentials", property(fail))
    stranger.say(VERSION, identification("bob"), message(b"hello"))
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [NotProven]


def test_ctrl_c_in_an_authenticator_closes_the_connection(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer
) -> None:
    alice = peer("alice", authenticator=Says(KeyboardInterrupt()))
    stranger = raw()
    stranger.connect(alice)
    with pytest.raises(KeyboardInterrupt):
        stranger.say(VERSION, identification("bob"), message(b"hello"))
    network.run_until_idle()
    assert not stranger.is_connected
    assert alice.received == []


def test_the_audit_log_has_a_line_a_minute_for_each_address(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    def lines() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == "snakemq.audit"]

    one, other = raw("one"), raw("other")
    for number in range(5):
        one.join(alice, f"bob {number}")
    other.join(alice, "carol")
    assert len(lines()) == 2
    assert lines()[0] == (
        "refused identification: ident='bob 0' address='unix:one' 'it has shown no certificate'"
    )
    network.advance(60)
    one.join(alice, "bob")
    assert lines()[2].endswith(" (5 times)")


def test_what_a_stranger_says_does_not_break_a_line(
    alice: Peer, raw: MakeRawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        raw().join(alice, "bob\nrefused 'carol'\x1b[2J\u202e")
    text = "".join(record.getMessage() for record in caplog.records)
    assert text.isprintable()
    assert r"bob\nrefused" in text


def test_that_plain_connections_prove_nothing_is_said_once(
    alice: Peer, raw: MakeRawPeer, liar: RawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    def lines() -> list[str]:
        return [r.getMessage() for r in caplog.records if "cannot prove anything" in r.getMessage()]

    liar.join(alice, "bob")
    assert lines() == []
    for name in ("one", "two"):
        raw(name).join(alice, "bob")
    assert len(lines()) == 1


def test_a_new_authenticator_decides_about_new_connections(
    alice: Peer, honest: Peer, raw: MakeRawPeer
) -> None:
    alice.connect(honest)
    alice.messaging.authenticator = Says(NotProven("nobody"))
    assert alice.messaging.is_connected("bob")
    carol = raw("carol")
    carol.link.credentials = certificate("spiffe://corp.example/carol")
    carol.join(alice, "carol")
    assert not carol.is_connected
    alice.messaging.authenticator = None
    raw("dan").join(alice, "dan")
    assert alice.messaging.is_connected("dan")


@pytest.mark.parametrize("wrong", ["bob", 1, Says, AnyOf, object()])
def test_something_else_than_an_authenticator_is_refused(wrong: object) -> None:
    packeter = Packeter(MemoryNetwork().link("alice"))
    with pytest.raises(TypeError, match=r"authenticator must be an object with"):
        Messaging("alice", "", packeter, authenticator=wrong)  # type: ignore[arg-type]


# -- the identity


def test_the_identity_is_known_from_on_connect_to_the_end(alice: Peer, honest: Peer) -> None:
    messaging = alice.messaging
    seen: list[Identity] = []
    messaging.on_connect.add(lambda conn_id, _: seen.append(messaging.identity(conn_id)))
    conn_id, _ = alice.connect(honest)
    assert seen == [messaging.identity(conn_id)] == [messaging.identity_of("bob")]
    assert seen[0].proven is Proof.CERTIFICATE
    assert seen[0].names == {"URI:spiffe://corp.example/bob"}
    assert seen[0].domain == "corp.example"
    assert seen[0].address == "unix:bob"
    assert seen[0].is_proven
    alice.link.close(conn_id)
    assert messaging.identity_of("bob") is None
    with pytest.raises(NoConnection):
        messaging.identity(conn_id)


def test_without_an_authenticator_it_is_a_claim(peer: MakePeer, honest: Peer) -> None:
    carol = peer("carol")
    conn_id, _ = carol.connect(honest)
    identity = carol.messaging.identity(conn_id)
    assert identity == Identity("bob", proven=Proof.CLAIM, address="unix:bob")
    assert not identity.is_proven


def test_before_the_identification_there_is_none(alice: Peer, raw: MakeRawPeer) -> None:
    conn_id = raw().connect(alice)
    with pytest.raises(NoConnection):
        alice.messaging.identity(conn_id)


def test_a_challenger_has_none_while_the_owner_is_asked(alice: Peer, raw: MakeRawPeer) -> None:
    owner, challenger = raw("owner"), raw("challenger")
    owner.link.credentials = challenger.link.credentials = OF_BOB
    owner_id = owner.join(alice, "bob")
    conn_id = challenger.join(alice, "bob")
    with pytest.raises(NoConnection):
        alice.messaging.identity(conn_id)
    assert alice.messaging.identity_of("bob") is alice.messaging.identity(owner_id)


# -- connectors that expect somebody


def test_a_connector_for_bob_admits_bob(peer: MakePeer, honest: Peer) -> None:
    dialler = peer("dialler", authenticator=AUTHENTICATOR)
    dialler.send("bob", b"for bob")
    dialler.network.connect(dialler.link, honest.link, ident="bob")
    dialler.network.run_until_idle()
    assert honest.heard == [b"for bob"]
    assert honest.errors == dialler.errors == []


@pytest.mark.parametrize("claimed", ["mallory", "bob", "BOB", ""])
def test_a_connector_for_bob_tells_others_nothing(
    peer: MakePeer, liar: RawPeer, claimed: str
) -> None:
    """Mallory has proven to be Mallory, but this connector is not for Mallory."""
    dialler = peer("dialler", authenticator=AUTHENTICATOR)
    dialler.send("bob", b"for bob")
    dialler.send("mallory", b"for mallory")
    dialler.network.connect(dialler.link, liar.link, ident="bob")
    dialler.network.run_until_idle()
    liar.say(VERSION, features(bits=1), identification(claimed), message(b"a lie"))
    assert not liar.is_connected
    assert liar.stream == b""
    assert dialler.kinds_of_errors == [NotProven]
    assert dialler.received == []


def test_a_connector_for_bob_compares_the_claim_if_nothing_is_proven(
    peer: MakePeer, raw: MakeRawPeer
) -> None:
    dialler = peer("dialler")
    for number, ident in enumerate(("carol", "bob")):
        other = raw(f"raw {number}")
        dialler.network.connect(dialler.link, other.link, ident="bob")
        dialler.network.run_until_idle()
        assert other.frames == []
        other.say(VERSION, identification(ident))
        assert other.is_connected == (ident == "bob")
    assert [str(error) for _, error in dialler.errors] == [
        "'carol' is not proven: this connector is for 'bob'"
    ]


def test_the_introduction_that_waited_comes_before_the_messages(
    peer: MakePeer, raw: MakeRawPeer
) -> None:
    dialler = peer("dialler")
    dialler.send("bob", b"first")
    bob = raw("bob")
    dialler.network.connect(dialler.link, bob.link, ident="bob")
    dialler.network.run_until_idle()
    bob.say(VERSION, features(bits=1), identification("bob"))
    assert [frame[0] for frame in bob.frames] == [0, 16, 2, 20, 3]
    assert dialler.messaging.is_connected("bob")


def test_two_stacks_with_connectors_for_each_other_find_together(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    dan, eve = peer("dan"), peer("eve")
    network.keep_connected(dan.link, "eve", ident="eve")
    network.keep_connected(eve.link, "dan", ident="dan")
    dan.messaging.send_message("eve", Message(b"hello", None))
    network.advance(60)
    assert eve.heard == [b"hello"]
    assert dan.messaging.is_connected("eve")
    assert eve.messaging.is_connected("dan")
