"""Silent peers are pinged, and dead ones are given up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_peers import (
    PING,
    PONG,
    VERSION,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
    message,
)

from snakemq.exceptions import SnakeMQTimeout
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import KEEPALIVE_WAIT
from snakemq.messaging._peers._keepalive import Action, decide


@pytest.fixture
def bob(raw: MakeRawPeer, alice: Peer) -> RawPeer:
    """Connected with alice; answers nothing by itself."""
    bob = raw("bob")
    bob.join(alice, "bob")
    return bob


def answer_pings(peer: RawPeer) -> None:
    def answer(conn_id: str, packet: bytes) -> None:
        if packet == PING:
            peer.packeter.send_packet(conn_id, PONG)

    peer.packeter.on_packet_recv.add(answer)


def test_defaults(alice: Peer) -> None:
    assert alice.messaging.keepalive_interval is None
    assert alice.messaging.keepalive_wait == KEEPALIVE_WAIT == 0.5


def test_without_an_interval_nobody_is_pinged(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    network.advance(1e6)
    assert bob.count(PING) == 0
    assert bob.is_connected


def test_ping_comes_after_the_interval_and_not_before(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    alice.messaging.keepalive_interval = 10
    network.advance(9.999)
    assert bob.count(PING) == 0
    network.advance(0.001)
    assert bob.count(PING) == 1


def test_peer_that_answers_is_pinged_once_in_an_interval(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    answer_pings(bob)
    alice.messaging.keepalive_interval = 10
    network.advance(1000)
    assert bob.count(PING) == 100
    assert alice.errors == []


@pytest.mark.parametrize("frame", [message(b"hello"), PONG, PING, b"\xff what is this?"])
def test_peer_that_says_anything_is_not_pinged(
    network: MemoryNetwork, alice: Peer, bob: RawPeer, frame: bytes
) -> None:
    alice.messaging.keepalive_interval = 10
    for _ in range(20):
        network.advance(9)
        bob.say(frame)
    assert bob.count(PING) == 0


def slow_down(network: MemoryNetwork, conn_id: str) -> None:
    """2.5 kB/s, in pieces that come more often than a keep-alive with a wait of 0.5 s asks for."""
    network.shape(conn_id, capacity=1000, latency=0.4)


def test_every_piece_of_a_large_packet_that_arrives_is_a_sign_of_life(
    network: MemoryNetwork, alice: Peer
) -> None:
    """The pong has to wait until the packet is through."""
    bob = Peer(network, "bob")
    alice.messaging.keepalive_interval = 0.2
    _, at_bob = alice.connect(bob)
    slow_down(network, at_bob)
    bob.send("alice", b"x" * 20_000)
    network.advance(60)
    assert alice.errors == []
    assert len(alice.heard) == 1


def test_every_piece_of_a_large_packet_that_is_sent_is_a_sign_of_life(
    network: MemoryNetwork, alice: Peer
) -> None:
    """The ping has to wait until the packet is through."""
    bob = Peer(network, "bob")
    alice.messaging.keepalive_interval = 1
    at_alice, _ = alice.connect(bob)
    slow_down(network, at_alice)
    alice.send("bob", b"x" * 20_000)
    network.advance(60)
    assert alice.errors == []
    assert len(bob.heard) == 1


def test_what_is_sent_behind_a_ping_is_not_a_sign_of_life(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    """The system takes over much before it notices that nobody is there."""
    alice.messaging.keepalive_interval = 5
    network.vanish(bob.link)
    for _ in range(56):
        alice.send("bob", b"are you there?")
        network.advance(0.1)
    assert alice.kinds_of_errors == [SnakeMQTimeout]


def test_silent_peer_is_given_up_when_the_wait_is_over(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    ((conn_id, _),) = alice.connected
    alice.messaging.keepalive_interval = 10
    alice.messaging.keepalive_wait = 2
    network.advance(11.999)
    assert alice.errors == []
    network.advance(0.001)
    assert not bob.is_connected
    assert [c for c, _ in alice.errors] == [conn_id]
    assert alice.kinds_of_errors == [SnakeMQTimeout]
    assert alice.disconnected == [(conn_id, "bob")]


@pytest.mark.parametrize("frame", [PONG, message(b"hello"), b"\xff"])
def test_anything_that_arrives_within_the_wait_is_an_answer(
    network: MemoryNetwork, alice: Peer, bob: RawPeer, frame: bytes
) -> None:
    alice.messaging.keepalive_interval = 10
    network.advance(10.4)
    bob.say(frame)
    network.advance(9.9)
    assert bob.count(PING) == 1
    assert bob.is_connected
    network.advance(0.1)
    assert bob.count(PING) == 2


def test_peer_that_lost_its_power_is_given_up(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    alice.messaging.keepalive_interval = 5
    network.vanish(bob.link)
    network.advance(5.5)
    assert alice.kinds_of_errors == [SnakeMQTimeout]
    assert len(alice.disconnected) == 1


def test_two_stacks_keep_each_other_alive(network: MemoryNetwork, alice: Peer) -> None:
    bob = Peer(network, "bob")
    alice.messaging.keepalive_interval = 1
    bob.messaging.keepalive_interval = 1.5
    alice.connect(bob)
    network.advance(600)
    assert alice.errors == bob.errors == []
    assert alice.link.connections


def test_interval_can_be_set_while_peers_are_connected(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    answer_pings(bob)
    network.advance(100)
    alice.messaging.keepalive_interval = 20  # it is silent for longer already
    network.run_until_idle()
    assert bob.count(PING) == 1
    alice.messaging.keepalive_interval = 5
    network.advance(5)
    assert bob.count(PING) == 2
    alice.messaging.keepalive_interval = 50
    network.advance(49.9)
    assert bob.count(PING) == 2
    network.advance(0.1)
    assert bob.count(PING) == 3


def test_interval_can_be_taken_away_while_a_ping_is_not_answered(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    alice.messaging.keepalive_interval = 10
    network.advance(10.1)
    assert bob.count(PING) == 1
    alice.messaging.keepalive_interval = None
    network.advance(1000)
    assert bob.count(PING) == 1
    assert bob.is_connected


def test_ping_of_an_interval_that_was_taken_away_is_forgotten(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    alice.messaging.keepalive_interval = 10
    network.advance(10.25)
    alice.messaging.keepalive_interval = None
    network.advance(1000)
    alice.messaging.keepalive_interval = 10
    assert bob.is_connected
    network.run_until_idle()
    assert bob.count(PING) == 2


def test_peers_can_be_given_up_while_the_interval_is_set(
    network: MemoryNetwork, alice: Peer, bob: RawPeer, raw: MakeRawPeer
) -> None:
    raw("carol").join(alice, "carol")
    alice.messaging.keepalive_interval = 10
    network.advance(10.3)
    alice.messaging.keepalive_wait = 0.1
    alice.messaging.keepalive_interval = 5
    network.run_until_idle()
    assert alice.kinds_of_errors == [SnakeMQTimeout] * 2


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_interval_that_makes_no_sense_is_refused(alice: Peer, interval: float) -> None:
    with pytest.raises(ValueError, match="keepalive_interval"):
        alice.messaging.keepalive_interval = interval


def test_peer_that_comes_later_is_watched_too(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    alice.messaging.keepalive_interval = 10
    network.advance(35)
    bob = raw("bob")
    bob.join(alice, "bob")
    network.advance(9.9)
    assert bob.count(PING) == 0
    network.advance(0.1)
    assert bob.count(PING) == 1


def test_callback_that_takes_long_does_not_kill_a_peer_that_has_answered(
    network: MemoryNetwork, alice: Peer, bob: RawPeer, raw: MakeRawPeer
) -> None:
    carol = raw("carol")
    carol.join(alice, "carol")
    answer_pings(bob)
    answer_pings(carol)
    alice.messaging.keepalive_interval = 10

    def work(conn_id: str, ident: str, message: Message) -> None:
        network.clock.advance(100)

    alice.messaging.on_message_recv.add(work)
    for _ in range(5):
        carol.say(message(b"work"))
        network.advance(9.9)
    assert alice.errors == []
    assert bob.is_connected
    assert carol.is_connected


@pytest.mark.parametrize("work_begins", [0.0, 0.15, 0.25, 0.4, 0.45])
@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5, 100])
def test_a_slow_callback_does_not_kill_a_peer_whose_answer_is_under_way(
    network: MemoryNetwork, alice: Peer, bob: RawPeer, work_begins: float, seconds: float
) -> None:
    """However much of the wait the work eats up: nobody looked whether an answer came."""
    answer_pings(bob)
    network.shape(bob.conn_id, latency=0.2)
    alice.messaging.keepalive_interval = 10
    alice.link.call_later(10 + work_begins, lambda: network.clock.advance(seconds))
    network.run_until(lambda: network.clock.time() >= 10 + seconds + 5, timeout=200)
    assert alice.errors == []
    assert bob.is_connected


@pytest.mark.parametrize("falls_asleep", [0.1, 0.3, 0.45])
def test_machine_that_was_asleep_waits_for_answers_anew(
    network: MemoryNetwork, alice: Peer, bob: RawPeer, falls_asleep: float
) -> None:
    """All deadlines are over when it wakes up, and nothing could arrive."""
    answer_pings(bob)
    for conn_id in (alice.connected[0][0], bob.conn_id):
        network.shape(conn_id, latency=0.2)
    alice.messaging.keepalive_interval = 10
    network.advance(10 + falls_asleep)
    network.clock.advance(3600)
    network.advance(60)
    assert alice.errors == []
    assert bob.is_connected


def test_loop_that_is_always_busy_finds_out_the_dead_all_the_same(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    alice.messaging.keepalive_interval = 10

    def work() -> None:
        network.clock.advance(5)
        alice.link.call_later(0.01, work)

    alice.link.call_later(0, work)
    network.vanish(bob.link)
    network.run_until(lambda: bool(alice.errors))
    assert alice.kinds_of_errors == [SnakeMQTimeout]


def test_pings_to_a_peer_that_does_not_read_are_given_up_and_not_piled_up(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    ((conn_id, _),) = alice.connected
    alice.messaging.keepalive_interval = 1
    network.stall(conn_id)
    for _ in range(100):  # it is alive, though
        bob.say(b"\xff")
        network.advance(0.9)
    assert bob.is_connected
    assert alice.packeter.get_unsent_size(conn_id) < 20


def test_a_message_over_a_slow_link_arrives_though_the_ping_is_behind_it(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    """The system takes all of it at once. Bob is a 1.6 peer and says nothing meanwhile."""
    ((conn_id, _),) = alice.connected
    network.shape(conn_id, speed=100_000)
    alice.messaging.keepalive_interval = 5
    answer_pings(bob)
    for _ in range(2):
        alice.send("bob", b"x" * 1_000_000)
    network.advance(30)
    assert alice.errors == []
    assert len(bob.messages) == 2


@pytest.mark.parametrize("pieces", [1, 500])
@pytest.mark.parametrize("manual_ack", [False, True])
def test_a_relay_that_takes_everything_does_not_hide_that_it_arrives(
    network: MemoryNetwork, alice: Peer, pieces: int, manual_ack: bool
) -> None:
    """The receiver says so, also when it acknowledges nothing."""
    bob = Peer(network, "bob", manual_ack=manual_ack)
    conn_id, _ = alice.connect(bob)
    network.shape(conn_id, speed=100_000, relayed=True)
    alice.messaging.keepalive_interval = 5
    for _ in range(pieces):
        alice.send("bob", b"x" * (1_000_000 // pieces))
    network.advance(30)
    assert alice.errors == []
    assert len(bob.received) == pieces
    assert alice.messaging.stats().peers["bob"].resent == 0


def test_a_receiver_that_answers_sends_no_pong_unasked(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    carol = raw("carol")
    carol.connect(alice)
    carol.say(VERSION, features(bits=1), identification("carol"))
    for number in range(100):
        carol.say(message(b"x", uuid=b"%016d" % number))
        network.advance(0.1)
    assert carol.count(PONG) == 0


def test_a_receiver_that_does_not_sends_a_few(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    carol = raw("carol")
    carol.connect(alice)
    carol.say(VERSION, features(), identification("carol"))
    for _ in range(1000):
        carol.say(message(b"x"))
        network.advance(0.01)
    assert 45 <= carol.count(PONG) <= 50


def test_nor_to_a_1_6_peer(network: MemoryNetwork, alice: Peer, bob: RawPeer) -> None:
    for _ in range(100):
        bob.say(message(b"x"))
        network.advance(0.1)
    assert bob.count(PONG) == 0


def test_peer_that_hangs_is_given_up_though_its_system_takes_bytes(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    ((conn_id, _),) = alice.connected
    network.shape(conn_id, speed=1000)
    alice.messaging.keepalive_interval = 5
    network.advance(5)
    for _ in range(20):
        alice.send("bob", b"x" * 1000)
    network.advance(0.5)
    assert alice.kinds_of_errors == [SnakeMQTimeout]


def test_peer_that_takes_nothing_more_is_given_up(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    ((conn_id, _),) = alice.connected
    network.shape(conn_id, speed=100_000)
    alice.messaging.keepalive_interval = 5
    alice.send("bob", b"x" * 1_000_000)
    network.advance(7)
    assert alice.errors == []
    network.vanish(bob.link)
    network.advance(1.01)
    assert alice.kinds_of_errors == [SnakeMQTimeout]


def test_a_peer_that_is_not_read_now_is_not_given_up(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    ((conn_id, _),) = alice.connected
    alice.messaging.keepalive_interval = 5
    network.advance(5.1)  # it was pinged
    alice.link.pause_reading(conn_id, "too much to do")
    network.advance(100)
    assert alice.errors == []
    assert bob.count(PING) == 1
    alice.link.resume_reading(conn_id, "too much to do")
    network.advance(5.6)
    assert alice.kinds_of_errors == [SnakeMQTimeout]


@pytest.fixture
def pausing(network: MemoryNetwork) -> Peer:
    """Reads nothing more from a peer that has sent a message, until that is processed."""
    peer = Peer(network, "pausing", manual_ack=True)
    peer.messaging.on_message_recv.add(
        lambda conn_id, _ident, _message: peer.link.pause_reading(conn_id, "too much")
    )
    return peer


@pytest.mark.parametrize("is_old", [False, True])
def test_a_peer_that_is_not_read_now_gets_signs_of_life(
    network: MemoryNetwork, pausing: Peer, raw: MakeRawPeer, is_old: bool
) -> None:
    """Its pings are not read either, and it would give up."""
    carol = raw("carol")
    conn_id = carol.connect(pausing)
    carol.say(VERSION, *([] if is_old else [features()]), identification("carol"), message(b"x"))
    carol.say(PING)
    network.advance(10)
    assert 45 <= carol.count(PONG) <= 50
    pausing.link.resume_reading(conn_id, "too much")
    network.advance(10)
    assert carol.count(PONG) <= 55


def test_so_does_one_that_is_paused_in_the_middle_of_a_packet(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    ((conn_id, _),) = alice.connected
    network.shape(bob.conn_id, speed=1000)
    bob.say(message(b"x" * 1000))
    network.advance(0.3)
    alice.link.pause_reading(conn_id, "no room")
    network.advance(10)
    assert 45 <= bob.count(PONG) <= 50


def test_a_keep_alive_goes_on_while_the_other_side_reads_nothing(
    network: MemoryNetwork, pausing: Peer
) -> None:
    bob = Peer(network, "bob")
    bob.messaging.keepalive_interval = 1
    pausing.connect(bob)
    bob.send("pausing", b"x")
    network.advance(60)
    assert bob.errors == []
    assert len(bob.connected) == 1


def test_interval_can_be_set_while_the_end_of_a_connection_is_told(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    """The callback that does it is called before the layers above the link are."""

    def set_interval(conn_id: str) -> None:
        alice.messaging.keepalive_interval = 5

    alice.link.on_disconnect.callbacks = (set_interval, *alice.link.on_disconnect.callbacks)
    bob = raw("another bob")
    bob.join(alice, "another bob")
    network.advance(10)
    bob.link.close(bob.conn_id)
    network.run_until_idle()
    assert alice.errors == []


times = st.floats(0, 1000)
waits = st.floats(0.001, 100)


@given(last_recv=times, since=times, interval=waits, wait=waits)
def test_decision_about_a_peer_that_was_not_pinged(
    last_recv: float, since: float, interval: float, wait: float
) -> None:
    now = last_recv + since
    action, delay = decide(now, last_recv, None, interval, wait)
    if action is Action.PING:
        assert now >= last_recv + interval or math.isclose(since, interval)
        assert 0 < delay <= wait
    else:
        assert action is Action.WAIT
        assert math.isclose(now + delay, last_recv + interval)


@given(last_recv=times, since_ping=times, interval=waits, wait=waits)
def test_decision_about_a_peer_that_was_pinged(
    last_recv: float, since_ping: float, interval: float, wait: float
) -> None:
    pinged = last_recv + interval
    action, delay = decide(pinged + since_ping, last_recv, pinged, interval, wait)
    assert action is not Action.PING
    if action is Action.WAIT:
        assert math.isclose(delay, wait - since_ping, abs_tol=1e-6)
    else:
        assert since_ping >= wait or math.isclose(since_ping, wait)
