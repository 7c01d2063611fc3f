"""Remote calls on a network in memory."""

import threading
from collections.abc import Iterator

import pytest
from networks import PATIENCE, in_thread, pair

from snakemq.peer import ReceivedMessage
from snakemq.testing import PeerNetwork

rpc = pytest.importorskip("snakemq.rpc")


@pytest.fixture
def network() -> Iterator[PeerNetwork]:
    with PeerNetwork() as network:
        yield network


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b


def test_call_is_answered(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    bob.serve("calculator", Calculator())
    assert alice.remote("bob", "calculator").add(1, 2) == 3
    assert network.time == 0


def test_call_of_a_peer_that_is_away_fails_after_its_time(network: PeerNetwork) -> None:
    alice = network.peer("alice", call_timeout=60)
    with pytest.raises(rpc.NotConnected):
        alice.remote("bob", "calculator").add(1, 2)
    assert network.time == 60


def test_call_waits_for_its_peer(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    bob.serve("calculator", Calculator())
    network.cut("alice", "bob")
    future = alice.remote("bob", "calculator").add.future(1, 2)
    network.advance(30)
    assert not future.done()
    network.heal("alice", "bob")
    network.settle()
    assert future.result(0) == 3


def test_call_that_is_cut_off_may_have_been_executed(network: PeerNetwork) -> None:
    alice, bob = pair(network)

    class Cutter:
        def cut(self) -> None:
            network.cut("alice", "bob")

    bob.serve("cutter", Cutter())
    with pytest.raises(rpc.PartialCall):
        alice.remote("bob", "cutter").cut()
    assert network.time == 60


def test_method_may_call_back(network: PeerNetwork) -> None:
    alice, bob = pair(network)

    class Asking:
        def ask(self, number: int) -> int:
            return int(bob.remote("alice", "asking").ask(number - 1)) + 1 if number else 0

    class Answering:
        def ask(self, number: int) -> int:
            return int(alice.remote("bob", "asking").ask(number - 1)) + 1 if number else 0

    bob.serve("asking", Asking())
    alice.serve("asking", Answering())
    assert alice.remote("bob", "asking").ask(6) == 6
    assert network.time == 0


def test_handler_may_call(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    alice.serve("calculator", Calculator())

    @bob.on_message
    def calculate(message: ReceivedMessage) -> None:
        message.reply(bob.remote("alice", "calculator").add(1, 2), codec="json")

    alice.send("bob", b"please")
    network.settle()
    assert [message.content for message in alice.messages(timeout=0)] == [3]


def test_no_time_passes_while_a_method_works(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    has_begun, may_end = threading.Event(), threading.Event()

    class Slow:
        def work(self) -> str:
            has_begun.set()
            assert may_end.wait(PATIENCE)
            return "done"

    bob.serve("slow", Slow())
    future = alice.remote("bob", "slow").work.future()

    def let_it_end() -> None:
        assert has_begun.wait(PATIENCE)
        may_end.set()

    in_thread(let_it_end)
    network.advance(0)
    assert future.result(0) == "done"


def test_method_waits_by_the_clock_of_the_network(network: PeerNetwork) -> None:
    alice, bob = pair(network, call_timeout=100)

    class Patient:
        def wait(self) -> float:
            with pytest.raises(TimeoutError):
                bob.send("carol", b"hello").wait(30)
            return network.time

    bob.serve("patient", Patient())
    assert alice.remote("bob", "patient").wait() == 30
