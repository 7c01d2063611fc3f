"""A callback that raises: the message is offered again, and rejected when that does not help."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from memory_peers import MakePeer, Peer

from snakemq.exceptions import SnakeMQBrokenFormat
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.queues import MemoryQueuesStorage


class Poison(Exception):
    pass


class Picky:
    """A callback that raises for messages with certain data, as often as it is told to."""

    def __init__(self, peer: Peer, *poisons: bytes, times: int = 1_000_000) -> None:
        self.peer = peer
        self.left = dict.fromkeys(poisons, times)
        self.error: Exception = Poison()
        self.offers: list[tuple[float, str, bytes]] = []
        """Time, connection and data of each offer."""
        self.rejected: list[tuple[str, str, Message]] = []
        peer.messaging.on_message_recv.add(self._on_message_recv)
        peer.messaging.on_message_reject.add(lambda *args: self.rejected.append(args))

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        self.offers.append((self.peer.link.time(), conn_id, message.data))
        if self.left.get(message.data):
            self.left[message.data] -= 1
            raise self.error

    def times_of(self, data: bytes) -> list[float]:
        return [time for time, _, offered in self.offers if offered == data]

    @property
    def accepted(self) -> list[bytes]:
        return [data for _, _, data in self.offers if data not in self.left]


def delivered_to(peer: Peer) -> list[bytes]:
    told: list[bytes] = []
    peer.messaging.on_message_delivered.add(lambda _c, _i, uuid: told.append(uuid))
    return told


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    return peer("bob", max_attempts=4, retry_delay=2.0)


def test_message_is_offered_again_after_the_delay(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    picky = Picky(bob, b"bad", times=2)
    delivered = delivered_to(alice)
    alice.connect(bob)
    begin = bob.link.time()
    uuid = alice.send("bob", b"bad")
    network.advance(1.9)
    assert picky.times_of(b"bad") == [begin]
    network.advance(10)
    assert picky.times_of(b"bad") == [begin, begin + 2, begin + 4]
    assert picky.rejected == []
    assert delivered == [uuid]
    assert bob.kinds_of_errors == [Poison, Poison]
    assert alice.errors == []


def test_message_that_never_gets_through_is_rejected_and_acknowledged(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    picky = Picky(bob, b"bad")
    delivered = delivered_to(alice)
    _, at_bob = alice.connect(bob)
    uuid = alice.send("bob", b"bad")
    network.advance(5.9)
    assert (len(picky.offers), picky.rejected, delivered) == (3, [], [])
    network.advance(100)
    assert len(picky.offers) == 4
    ((conn_id, ident, message),) = picky.rejected
    assert (conn_id, ident, message.data, message.uuid) == (at_bob, "alice", b"bad", uuid)
    assert (delivered, alice.dropped) == ([], [("bob", uuid)])
    assert bob.messaging.stats().peers["alice"].rejected == 1
    assert bob.kinds_of_errors == [Poison] * 4


def test_rejection_comes_before_the_ack(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    Picky(bob, b"bad")
    delivered = delivered_to(alice)
    unsent: list[int] = []
    bob.messaging.on_message_reject.add(
        lambda conn_id, *_: unsent.append(bob.packeter.get_unsent_size(conn_id) + len(delivered))
    )
    alice.connect(bob)
    alice.send("bob", b"bad", ttl=None)
    network.advance(60)
    assert unsent == [0]


def test_callback_of_the_rejection_that_raises_blocks_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def fail(*_: object) -> None:
        raise Poison("again")

    Picky(bob, b"bad")
    bob.messaging.on_message_reject.add(fail)
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"bad", ttl=None)
    network.advance(60)
    assert (delivered, alice.dropped) == ([], [("bob", uuid)])
    assert len(bob.errors) == 5


def test_a_message_with_one_attempt_is_not_offered_again(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", max_attempts=1)
    picky = Picky(bob, b"bad")
    alice.connect(bob)
    alice.send("bob", b"bad", ttl=None)
    network.run_until_idle()
    assert (len(picky.offers), len(picky.rejected)) == (1, 1)


def test_messages_behind_a_poisonous_one_go_on(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    picky = Picky(bob, b"bad")
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuids = [alice.send("bob", data, ttl=None) for data in (b"1", b"bad", b"2", b"3")]
    network.run_until_idle()
    assert picky.accepted == [b"1", b"2", b"3"]
    assert delivered == uuids[:1]  # an ack covers all up to a number
    network.advance(60)
    assert (delivered, alice.dropped) == (uuids[:1] + uuids[2:], [("bob", uuids[1])])
    assert picky.accepted == [b"1", b"2", b"3"]


@pytest.mark.parametrize("away", [0.5, 3.0, 30.0])
def test_reconnection_in_between_offers_nothing_twice(
    network: MemoryNetwork, alice: Peer, bob: Peer, away: float
) -> None:
    picky = Picky(bob, b"bad", times=2)
    delivered = delivered_to(alice)
    at_alice, _ = alice.connect(bob)
    begin = bob.link.time()
    uuids = [alice.send("bob", data, ttl=None) for data in (b"bad", b"good")]
    network.run_until_idle()
    network.disconnect(at_alice)
    network.advance(away)
    alice.connect(bob)
    network.advance(60)
    assert picky.times_of(b"bad") == [begin, begin + 2, begin + 4]
    assert picky.times_of(b"good") == [begin]
    assert delivered == uuids
    assert bob.messaging.stats().peers["alice"].duplicates == 2


def test_retry_names_the_connection_there_is(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    picky = Picky(bob, b"bad")
    at_alice, first = alice.connect(bob)
    alice.send("bob", b"bad", ttl=None)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.advance(3)
    _, second = alice.connect(bob)
    network.advance(2)
    assert [conn_id for _, conn_id, _ in picky.offers] == [first, "", second]


def test_rejection_while_the_sender_is_away_is_final(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    picky = Picky(bob, b"bad")
    delivered = delivered_to(alice)
    at_alice, _ = alice.connect(bob)
    uuid = alice.send("bob", b"bad", ttl=None)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.advance(60)
    assert [conn_id for conn_id, _, _ in picky.rejected] == [""]
    alice.connect(bob)
    network.advance(60)
    assert (len(picky.offers), len(picky.rejected)) == (4, 1)
    assert (delivered, alice.dropped) == ([], [("bob", uuid)])


def test_persistent_message_stays_with_its_sender_until_the_last_attempt(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    storage = MemoryQueuesStorage()
    alice = peer("alice", storage)
    Picky(bob, b"bad")
    alice.connect(bob)
    alice.send("bob", b"bad", None, FLAG_PERSISTENT)
    network.advance(5.9)
    assert storage.count("bob") == 1
    network.advance(1)
    assert storage.get_queues() == []


def test_message_with_ttl_0_is_offered_again_as_well(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    picky = Picky(bob, b"bad", times=1)
    at_alice, _ = alice.connect(bob)
    alice.send("bob", b"bad", ttl=0)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.advance(60)
    assert (len(picky.offers), picky.rejected) == (2, [])
    assert len(alice.dropped) == 1  # it was never confirmed


def test_every_callback_is_asked_and_one_that_raises_is_enough(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    picky = Picky(bob, b"bad", times=1)
    calls: list[bytes] = []
    bob.messaging.on_message_recv.add(lambda _c, _i, message: calls.append(message.data))
    alice.connect(bob)
    alice.send("bob", b"bad", ttl=None)
    network.advance(60)
    assert len(picky.offers) == len(calls) == 2


# -- messages that are broken themselves


def broken() -> Exception:
    return SnakeMQBrokenFormat("nonsense")


def broken_in_a_group() -> Exception:
    return ExceptionGroup("several callbacks", [ValueError(), broken()])


@pytest.mark.parametrize("make_error", [broken, broken_in_a_group])
def test_broken_message_closes_the_connection_and_is_not_offered_again(
    network: MemoryNetwork, alice: Peer, bob: Peer, make_error: Callable[[], Exception]
) -> None:
    picky = Picky(bob, b"bad")
    picky.error = make_error()
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuids = [alice.send("bob", data, ttl=None) for data in (b"1", b"bad", b"2")]
    network.run_until_idle()
    assert len(alice.disconnected) == 1
    assert SnakeMQBrokenFormat in bob.kinds_of_errors
    alice.connect(bob)
    network.advance(60)
    assert [data for _, _, data in picky.offers] == [b"1", b"bad", b"2"]
    assert picky.rejected == []
    assert delivered == uuids
    assert len(alice.disconnected) == 1


@pytest.mark.parametrize("manual_ack", [False, True])
def test_message_that_proves_to_be_broken_when_it_is_offered_again(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, manual_ack: bool
) -> None:
    bob = peer("bob", manual_ack=manual_ack, retry_delay=2.0)
    picky = Picky(bob, b"bad")
    delivered = delivered_to(alice)
    _, at_bob = alice.connect(bob)
    uuid = alice.send("bob", b"bad", ttl=None)
    network.run_until_idle()
    picky.error = broken()
    network.advance(5)
    assert bob.disconnected == [(at_bob, "alice")]
    assert [conn_id for conn_id, _ in bob.errors] == [at_bob, at_bob]
    alice.connect(bob)
    network.advance(60)
    assert len(picky.offers) == 2
    assert delivered == [uuid]


# -- settings


@pytest.mark.parametrize("attempts", [0, -1])
def test_less_than_one_attempt_is_refused(bob: Peer, attempts: int) -> None:
    with pytest.raises(ValueError, match="max_attempts"):
        Messaging("bob", "", bob.packeter, max_attempts=attempts)
