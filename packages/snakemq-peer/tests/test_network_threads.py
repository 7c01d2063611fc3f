"""Threads on a network in memory: nothing is over, and no time passes, while they work."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from networks import PATIENCE, collect, data_of, in_thread, pair

from snakemq.messaging import ReceiptState
from snakemq.peer import Peer, ReceivedMessage
from snakemq.testing import PeerNetwork, _driver, _strangers


@pytest.fixture
def network() -> Iterator[PeerNetwork]:
    with PeerNetwork() as network:
        yield network


class Slow:
    """Work that goes on until the network has looked several times whether anything happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self._changed = threading.Condition()
        original = _driver.Driver._count

        def count(driver: _driver.Driver) -> int:
            with self._changed:
                self.looks += 1
                self._changed.notify_all()
            return original(driver)

        monkeypatch.setattr(_driver.Driver, "_count", count)

    def work(self) -> None:
        with self._changed:
            wanted = self.looks + 5
            assert self._changed.wait_for(lambda: self.looks >= wanted, PATIENCE)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, network: PeerNetwork) -> Slow:
    return Slow(monkeypatch)


def test_settle_waits_for_a_handler(network: PeerNetwork, slow: Slow) -> None:
    alice, bob = pair(network)

    @bob.on_message
    def answer(message: ReceivedMessage) -> None:
        slow.work()
        message.reply(b"yes")

    for _ in range(3):
        alice.send("bob", b"hello")
    network.settle()
    assert data_of(alice) == [b"yes"] * 3


def test_settle_waits_for_a_handler_that_was_just_added(network: PeerNetwork, slow: Slow) -> None:
    alice, bob = pair(network)
    for _ in range(20):
        receipt = alice.send("bob", b"hello")
    network.settle()
    collect(bob)
    network.settle()
    assert receipt.state is ReceiptState.DELIVERED


def test_no_time_passes_while_a_handler_works(network: PeerNetwork, slow: Slow) -> None:
    alice, bob = pair(network)

    @bob.on_message
    def answer(message: ReceivedMessage) -> None:
        slow.work()
        message.reply(b"yes")

    alice.send("bob", b"hello", ttl=1)
    assert [message.data for message in alice.messages(timeout=1)] == [b"yes"]
    assert network.time == 1


def test_handler_waits_by_the_clock_of_the_network(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    told: list[tuple[float, str]] = []

    @bob.on_message
    def forward(message: ReceivedMessage) -> None:
        try:
            bob.send("carol", message.data).wait(30)
        except TimeoutError as exc:
            told.append((network.time, str(exc)))

    receipt = alice.send("bob", b"hello")
    network.settle()  # it ends, although the handler waits
    assert receipt.state is ReceiptState.SENT
    network.advance(29)
    assert told == []
    network.advance(1)
    assert told == [(30, "the message is queued, not delivered, after 30 s")]
    assert receipt.state is ReceiptState.DELIVERED


def test_handler_acts_at_its_time_before_a_test_gives_up(network: PeerNetwork) -> None:
    alice, bob = pair(network)

    @bob.on_message
    def give_up_first(message: ReceivedMessage) -> None:
        with pytest.raises(TimeoutError):
            bob.send("carol", message.data).wait(10)
        message.reply(b"sorry")

    waiting = alice.messages(timeout=10)  # the test waits longer than the handler, or as long
    alice.send("bob", b"hello")
    assert [message.data for message in waiting] == [b"sorry"]


def test_handler_may_move_the_time(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    bob.on_message(lambda message: network.advance(5))
    alice.send("bob", b"hello").wait()
    assert network.time == 5


def test_thread_of_the_application_may_take_messages(network: PeerNetwork, slow: Slow) -> None:
    alice, bob = pair(network)

    def work() -> None:
        slow.work()  # before the network knows of this thread
        for message in bob.messages():
            slow.work()
            message.reply(message.data.upper())

    thread = in_thread(work)
    for word in (b"one", b"two"):
        alice.send("bob", word)
    network.settle()
    assert data_of(alice) == [b"ONE", b"TWO"]
    assert network.time == 0
    bob.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_several_threads_share_the_messages(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    taken: list[bytes] = []

    def work() -> None:
        taken.extend(message.data for message in bob.messages(timeout=10))

    threads = [in_thread(work) for _ in range(4)]
    for number in range(50):
        alice.send("bob", b"%02d" % number)
    network.settle()
    assert sorted(taken) == [b"%02d" % number for number in range(50)]
    assert all(thread.is_alive() for thread in threads)
    network.advance(10)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_thread_that_has_left_its_loop_is_not_waited_for(
    network: PeerNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_strangers, "GRACE", 0.05)
    alice, bob = pair(network)
    has_left, may_end = threading.Event(), threading.Event()

    def work() -> None:
        with bob.messages() as messages:
            next(messages)
        has_left.set()
        may_end.wait(PATIENCE)

    thread = in_thread(work)
    alice.send("bob", b"hello").wait()
    assert has_left.wait(PATIENCE)
    network.settle()
    may_end.set()
    thread.join(PATIENCE)


def test_thread_that_has_died_in_its_loop_is_not_waited_for(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    iterators = []

    def work() -> None:
        messages = bob.messages()
        iterators.append(messages)  # nobody can say for it that it has left
        next(messages).ack()

    thread = in_thread(work)
    alice.send("bob", b"hello").wait()
    thread.join(PATIENCE)
    network.settle()


def test_thread_that_never_waits_for_the_network_is_ignored(
    network: PeerNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_strangers, "GRACE", 0.01)
    pair(network)
    may_end = threading.Event()
    thread = in_thread(lambda: may_end.wait(PATIENCE))
    network.advance(10)
    may_end.set()
    thread.join(PATIENCE)


def test_handler_that_never_ends_is_an_error(
    network: PeerNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_driver, "PATIENCE", 0.05)
    alice, bob = pair(network)
    may_end = threading.Event()
    bob.on_message(lambda message: may_end.wait(PATIENCE))
    receipt = alice.send("bob", b"hello")
    with pytest.raises(TimeoutError, match="threads still work"):
        network.settle()
    with pytest.raises(TimeoutError, match="after 5 s"):
        receipt.wait(5)
    may_end.set()
    monkeypatch.undo()
    network.settle()
    assert receipt.state is ReceiptState.DELIVERED


def test_callback_that_answers_itself_forever_ends_the_network() -> None:
    with PeerNetwork() as network:
        alice = network.peer("alice")
        alice.link.on_loop_pass.add(alice.link.wakeup_poll)
        alice.link.wakeup_poll()
        with pytest.raises(RuntimeError, match="does something answer itself forever"):
            network.settle()
        with pytest.raises(RuntimeError, match="does something answer itself forever"):
            network.advance(1)


def test_all_arrives_that_handlers_pass_on_in_a_ring(network: PeerNetwork) -> None:
    """Whatever their threads do, and in whichever order."""
    idents = [f"peer-{number}" for number in range(5)]
    following = dict(zip(idents, [*idents[1:], idents[0]], strict=True))
    peers: dict[str, Peer] = {ident: network.peer(ident) for ident in idents}
    ended: list[str] = []

    def pass_on(ident: str, message: ReceivedMessage) -> None:
        hops = int(message.data)
        if hops:
            peers[ident].send(following[ident], b"%d" % (hops - 1))
        else:
            ended.append(ident)

    for ident in idents:
        network.connect(ident, following[ident])
        peers[ident].on_message(partial(pass_on, ident))
    for ident in idents:
        peers[ident].send(following[ident], b"20")
    network.settle()
    assert sorted(ended) == idents
    assert network.time == 0
