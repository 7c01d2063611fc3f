"""Two connections claim one ident: the living keep it, the dead are replaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_peers import (
    PING,
    PONG,
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    RawPeer,
    identification,
    message,
)

from snakemq.exceptions import SnakeMQDuplicateIdent, SnakeMQTimeout
from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.messaging import CONTEST_WAIT, KEEPALIVE_WAIT
from snakemq.messaging._peers._contest import CONTEST_PAUSE, patience


@pytest.fixture
def owner(raw: MakeRawPeer, alice: Peer) -> RawPeer:
    """Connected with alice as bob; answers nothing by itself, as if it was busy."""
    owner = raw("owner")
    owner.join(alice, "bob")
    return owner


@pytest.fixture
def challenger(raw: MakeRawPeer, alice: Peer, owner: RawPeer) -> RawPeer:
    """Claims to be bob, too; the contest is going on."""
    challenger = raw("challenger")
    challenger.join(alice, "bob")
    return challenger


def test_second_one_is_refused_while_the_first_is_alive(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    alice.connect(bob)
    impostor = peer("bob", name="impostor")
    refused, _ = alice.connect(impostor)
    network.advance(60)
    assert [conn_id for conn_id, _ in alice.errors] == [refused]
    assert alice.kinds_of_errors == [SnakeMQDuplicateIdent]
    assert len(alice.connected) == 1
    assert alice.disconnected == bob.disconnected == []
    assert impostor.link.connections == ()
    alice.send("bob", b"to the first")
    bob.send("alice", b"from the first")
    network.run_until_idle()
    assert bob.heard == [b"to the first"]
    assert alice.heard == [b"from the first"]
    assert impostor.heard == []


def test_owner_is_pinged_at_once(owner: RawPeer, challenger: RawPeer) -> None:
    assert owner.count(PING) == 1
    assert challenger.is_connected


@pytest.mark.parametrize("sign_of_life", [PONG, PING, message(b"still here"), b"\xff"])
def test_any_sign_of_life_of_the_owner_will_do(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer, sign_of_life: bytes
) -> None:
    network.advance(KEEPALIVE_WAIT - 0.01)
    owner.say(sign_of_life)
    assert not challenger.is_connected
    assert owner.is_connected
    assert alice.kinds_of_errors == [SnakeMQDuplicateIdent]
    network.advance(60)
    assert owner.is_connected


def test_part_of_a_packet_is_a_sign_of_life(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    network.shape(owner.conn_id, capacity=100, latency=0.3)
    owner.say(message(b"x" * 1000))
    network.advance(0.3)
    assert not challenger.is_connected
    network.advance(60)
    assert len(alice.heard) == 1


def test_owner_has_time_while_the_ping_is_behind_a_large_message(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    network.shape(alice.connected[0][0], capacity=100, latency=0.3)
    alice.send("bob", b"x" * 1000)
    network.run_until_idle()
    challenger = raw("challenger")
    challenger.join(alice, "bob")
    network.advance(3 * KEEPALIVE_WAIT)
    assert owner.is_connected
    network.advance(60)
    assert owner.count(PING) == 1
    assert not owner.is_connected  # the ping has arrived, and this owner does not answer


def test_silent_owner_is_replaced_when_the_wait_is_over(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    dead = alice.connected[0][0]
    network.advance(CONTEST_WAIT - 0.001)
    assert len(alice.connected) == 1
    network.advance(0.001)
    assert [conn_id for conn_id, _ in alice.errors] == [dead]
    assert alice.kinds_of_errors == [SnakeMQTimeout]
    assert alice.disconnected == [(dead, "bob")]
    assert [ident for _, ident in alice.connected] == ["bob", "bob"]
    assert challenger.is_connected


def test_wait_is_settable(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    assert alice.messaging.contest_wait == CONTEST_WAIT == 10
    alice.messaging.contest_wait = 5
    raw("challenger").join(alice, "bob")
    network.advance(4.9)
    assert owner.is_connected
    network.advance(0.1)
    assert not owner.is_connected


def test_peer_that_lost_its_power_comes_back_under_its_name(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    alice.connect(bob)
    network.vanish(bob.link)
    reborn = peer("bob")
    alice.connect(reborn)
    network.advance(KEEPALIVE_WAIT)
    alice.send("bob", b"welcome back")
    reborn.send("alice", b"here I am")
    network.run_until_idle()
    assert reborn.heard == [b"welcome back"]
    assert alice.heard == [b"here I am"]


def test_peer_that_was_cut_off_comes_back_another_way(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    """A telephone does this when it changes from one network to the other."""
    bob, elsewhere = peer("bob"), peer("bob", name="elsewhere")
    alice.connect(bob)
    network.partition(alice.link, bob.link)
    alice.connect(elsewhere)
    network.advance(KEEPALIVE_WAIT)
    alice.send("bob", b"hello")
    network.run_until_idle()
    assert elsewhere.heard == [b"hello"]
    network.heal(alice.link, bob.link)
    network.run_until_idle()
    assert len(bob.disconnected) == 1


def test_what_was_sent_to_a_dead_owner_goes_to_its_replacement(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    alice.connect(bob)
    network.vanish(bob.link)
    for number in range(5):
        alice.send("bob", b"%d" % number)
    network.run_until_idle()
    reborn = peer("bob")
    alice.connect(reborn)
    alice.send("bob", b"5")
    network.advance(KEEPALIVE_WAIT)
    assert reborn.heard == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_what_the_challenger_sends_meanwhile_is_kept_in_order(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    challenger = raw("challenger")
    challenger.join(alice, "bob", message(b"0"), message(b"1"))
    for number in range(2, 6):
        network.advance(0.05)
        challenger.say(message(b"%d" % number))
    assert alice.heard == []
    network.advance(CONTEST_WAIT)
    challenger.say(message(b"6"))
    assert alice.heard == [b"0", b"1", b"2", b"3", b"4", b"5", b"6"]
    new_conn_id = alice.connected[1][0]
    assert {(c, i) for c, i, _ in alice.received} == {(new_conn_id, "bob")}


def test_nothing_of_a_refused_challenger_is_delivered(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    challenger.say(message(b"from the wrong one"))
    owner.say(PONG)
    network.advance(60)
    assert alice.heard == []


@pytest.mark.parametrize("pieces", [1, 30])
def test_challenger_that_sends_too_much_to_wait_is_refused(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer, pieces: int
) -> None:
    challenger.say(*[message(b"x" * (2_000_000 // pieces))] * pieces)
    assert not challenger.is_connected
    assert alice.kinds_of_errors == [SnakeMQDuplicateIdent]
    network.advance(60)
    assert owner.is_connected
    assert alice.heard == []


@pytest.mark.parametrize("frame", [b"", message(b"")[:-1], VERSION[:-1]])
def test_challenger_that_sends_nonsense_is_closed_when_its_turn_comes(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer, frame: bytes
) -> None:
    challenger.say(message(b"good"), frame)
    network.advance(CONTEST_WAIT)
    assert alice.heard == [b"good"]
    assert not challenger.is_connected


def test_owner_that_leaves_is_replaced_at_once(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    challenger.say(message(b"hello"))
    owner.link.close(owner.conn_id)
    network.run_until_idle()
    assert len(alice.connected) == 2
    assert alice.heard == [b"hello"]
    assert alice.errors == []
    network.advance(60)
    assert challenger.is_connected


def test_challenger_that_leaves_changes_nothing(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    challenger.say(message(b"good bye"))
    challenger.link.close(challenger.conn_id)
    network.advance(60)
    assert owner.is_connected
    assert alice.errors == []
    assert alice.heard == []
    assert (len(alice.connected), len(alice.disconnected)) == (1, 0)


def test_third_one_is_refused_and_the_contest_goes_on(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer, raw: MakeRawPeer
) -> None:
    third = raw("third")
    refused = third.join(alice, "bob")
    assert not third.is_connected
    assert [conn_id for conn_id, _ in alice.errors] == [refused]
    assert alice.kinds_of_errors == [SnakeMQDuplicateIdent]
    network.advance(CONTEST_WAIT)
    assert challenger.is_connected
    assert not owner.is_connected


def test_a_refused_peer_may_try_again(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer, raw: MakeRawPeer
) -> None:
    owner.say(PONG)
    network.advance(CONTEST_PAUSE)
    network.vanish(owner.link)
    again = raw("again")
    again.join(alice, "bob", message(b"now it is me"))
    network.advance(KEEPALIVE_WAIT)
    assert alice.heard == [b"now it is me"]


def test_contests_for_several_idents_do_not_mix(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer, raw: MakeRawPeer
) -> None:
    other_owner, other_challenger = raw("other owner"), raw("other challenger")
    other_owner.join(alice, "carol")
    other_challenger.join(alice, "carol")
    other_owner.say(PONG)
    network.advance(CONTEST_WAIT)
    assert challenger.is_connected
    assert not owner.is_connected
    assert other_owner.is_connected
    assert not other_challenger.is_connected


def test_on_error_may_close_the_challenger_itself(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    def close(conn_id: str | None, exc: Exception) -> None:
        assert conn_id is not None
        alice.link.close(conn_id)

    alice.messaging.on_error.add(close)
    owner.say(PONG)
    assert not challenger.is_connected
    assert owner.is_connected


def test_owner_may_be_closed_by_this_side_during_the_contest(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    alice.link.close(alice.connected[0][0])
    network.run_until_idle()
    assert [ident for _, ident in alice.connected] == ["bob", "bob"]
    assert challenger.is_connected


def test_work_that_takes_long_does_not_depose_an_owner_that_has_answered(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    def answer(conn_id: str, packet: bytes) -> None:
        if packet == PING:
            owner.packeter.send_packet(conn_id, PONG)

    owner.packeter.on_packet_recv.add(answer)
    network.shape(owner.conn_id, latency=0.2)
    alice.link.call_later(0.1, lambda: network.clock.advance(10))
    challenger = raw("challenger")
    challenger.connect(alice)
    challenger.say(VERSION, identification("bob"))
    network.run_until(lambda: not (owner.is_connected and challenger.is_connected))
    assert owner.is_connected
    assert not challenger.is_connected


def test_peer_with_the_same_ident_as_this_one_is_a_peer_like_others(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    one, other = peer("twin", name="one"), peer("twin", name="other")
    one.connect(other)
    one.send("twin", b"hello, twin")
    network.run_until_idle()
    assert other.heard == [b"hello, twin"]
    assert one.heard == []


def test_second_connection_of_the_same_process_is_one_too_many_and_no_error(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    first, _ = alice.connect(bob)
    second, _ = alice.connect(bob)
    network.advance(10 * KEEPALIVE_WAIT)
    assert alice.link.connections == (first,)
    assert second not in bob.link.connections
    assert alice.connected == [(first, "bob")]
    assert alice.errors == bob.errors == []


def test_two_that_dial_each_other_at_once_keep_one_connection(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """Each side hears of another connection first."""
    of_alice, at_bob = network.connect(alice.link, bob.link)
    of_bob, at_alice = network.connect(bob.link, alice.link)
    network.shape(of_alice, latency=0.01)
    network.shape(of_bob, latency=0.01)
    alice.send("bob", b"from alice")
    bob.send("alice", b"from bob")
    network.advance(10 * KEEPALIVE_WAIT)
    assert {alice.connected[0][0], bob.connected[0][0]} in ({of_alice, of_bob}, {at_alice, at_bob})
    assert len(alice.link.connections) == len(bob.link.connections) == 1
    assert alice.errors == bob.errors == []
    assert bob.heard == [b"from alice"]
    assert alice.heard == [b"from bob"]


def test_owner_whose_machine_is_gone_is_replaced_soon(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    network.vanish(owner.link)
    raw("challenger").join(alice, "bob", message(b"I am back"))
    network.advance(KEEPALIVE_WAIT - 0.001)
    assert alice.heard == []
    network.advance(0.001)
    assert alice.heard == [b"I am back"]


def test_busy_owner_keeps_its_ident(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    network.advance(CONTEST_WAIT - 0.001)
    owner.say(message(b"this took long"))
    assert owner.is_connected
    assert not challenger.is_connected


def test_owner_whose_system_goes_silent_during_the_contest_is_given_up(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    network.advance(2)
    network.vanish(owner.link)
    alice.send("bob", b"nobody acknowledges this", ttl=60)
    network.advance(CONTEST_WAIT - 2.001)
    assert challenger.is_connected
    network.advance(0.001)
    assert len(alice.connected) == 2


def test_where_the_link_cannot_tell_the_owner_has_the_longer_wait(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(MemoryLink, "unanswered_for")
    carol, owner = peer("carol"), raw("owner")
    owner.join(carol, "bob")
    network.vanish(owner.link)
    raw("challenger").join(carol, "bob")
    network.advance(CONTEST_WAIT - 0.001)
    assert len(carol.connected) == 1
    network.advance(0.001)
    assert len(carol.connected) == 2


def test_owner_that_is_not_read_now_is_not_taken_for_dead(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    alice.link.pause_reading(alice.connected[0][0], "too much to do")
    challenger = raw("challenger")
    challenger.join(alice, "bob")
    owner.say(PONG)
    network.advance(CONTEST_WAIT)
    assert owner.is_connected
    assert not challenger.is_connected


def test_many_challengers_cost_an_owner_a_ping_in_a_second(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    owner.packeter.on_packet_recv.add(
        lambda conn_id, packet: packet == PING and owner.packeter.send_packet(conn_id, PONG)
    )
    for number in range(100):
        liar = raw(f"liar {number}")
        liar.join(alice, "bob")
        assert not liar.is_connected
        network.advance(0.05)
    assert owner.is_connected
    assert owner.count(PING) <= 5 / CONTEST_PAUSE + 1


def test_liars_do_not_add_up_while_the_owner_is_busy(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    """It answers every 0.8 s, as one whose callbacks take that long."""
    for number in range(200):
        raw(f"liar {number}").join(alice, "bob")
        if number % 16 == 0:
            owner.say(PONG)
        network.advance(0.05)
    assert owner.is_connected
    assert len(alice.connected) == 1


def test_nothing_is_sent_to_a_contested_owner_that_does_not_acknowledge(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    alice.send("bob", b"for the real one", ttl=0)
    network.advance(1)
    assert owner.messages == challenger.messages == []
    owner.say(PONG)
    assert owner.heard == [b"for the real one"]


def test_what_was_not_sent_to_a_dead_one_goes_to_the_one_that_replaces_it(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    network.vanish(owner.link)
    challenger = raw("challenger")
    challenger.join(alice, "bob")
    alice.send("bob", b"not into the void")
    network.advance(KEEPALIVE_WAIT)
    assert challenger.heard == [b"not into the void"]


def test_the_traffic_of_an_owner_that_acknowledges_is_not_held(
    network: MemoryNetwork, alice: Peer, bob: Peer, raw: MakeRawPeer
) -> None:
    alice.connect(bob)
    bob.link.pause_reading(bob.connected[0][0])
    raw("challenger").join(alice, "bob")
    alice.send("bob", b"all the same")
    network.run_until_idle()
    assert alice.sent


def test_a_contest_whose_challenger_leaves_holds_nothing(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, challenger: RawPeer
) -> None:
    alice.send("bob", b"hello", ttl=0)
    challenger.link.close(challenger.conn_id)
    network.run_until_idle()
    assert owner.heard == [b"hello"]


@given(st.floats(0, 20), st.none() | st.floats(0, 20), st.floats(0, 5), st.floats(0, 20))
def test_patience(
    waited: float, unanswered: float | None, wait: float, contest_wait: float
) -> None:
    left = patience(waited, unanswered, wait, contest_wait)
    assert left >= 0
    if waited < wait:
        assert left > 0
    if waited >= max(wait, contest_wait):
        assert left == 0
    if unanswered is not None and unanswered >= wait and waited >= wait:
        assert left == 0


def test_owner_has_time_while_its_system_takes_what_is_before_the_ping(
    network: MemoryNetwork, alice: Peer, owner: RawPeer, raw: MakeRawPeer
) -> None:
    ((conn_id, _),) = alice.connected
    network.shape(conn_id, speed=100_000)
    alice.send("bob", b"x" * 2_000_000)
    network.run_until_idle()
    challenger = raw("challenger")
    challenger.join(alice, "bob")
    network.advance(20 + CONTEST_WAIT - 1)
    assert owner.count(PING) == 1
    assert challenger.is_connected
    owner.say(PONG)
    assert owner.is_connected
    assert not challenger.is_connected
