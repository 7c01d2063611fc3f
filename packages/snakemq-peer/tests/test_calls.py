import subprocess
import sys
import threading

import pytest
from real_peers import PATIENCE, MakePeer

from snakemq.peer import Peer
from snakemq.rpc import NoInstanceError, NotConnected, PartialCall


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b

    def divide(self, a: int, b: int) -> float:
        return a / b


def test_objects_are_called_both_ways(alice: Peer, bob: Peer) -> None:
    alice.serve("calculator", Calculator())
    bob.serve("calculator", Calculator())
    assert alice.remote("bob", "calculator").add(1, 2) == 3
    assert bob.remote("alice", "calculator").add(3, 4) == 7
    with pytest.raises(ZeroDivisionError):
        alice.remote("bob", "calculator").divide(1, 0)


def test_only_the_methods_that_are_named_are_served(alice: Peer, bob: Peer) -> None:
    bob.serve("calculator", Calculator(), ["add"])
    with pytest.raises(Exception, match="divide"):
        alice.remote("bob", "calculator").divide(1, 2)


def test_object_that_is_not_served_is_an_error(alice: Peer, bob: Peer) -> None:
    bob.serve("calculator", Calculator())
    with pytest.raises(NoInstanceError):
        alice.remote("bob", "diary").read()


def test_handler_never_sees_calls(alice: Peer, bob: Peer) -> None:
    bob.serve("calculator", Calculator())
    assert alice.remote("bob", "calculator").add(1, 2) == 3
    assert list(bob.messages(0)) == []
    assert list(alice.messages(0)) == []


def test_call_has_a_time_out_from_the_start() -> None:
    with Peer("alice", call_timeout=0.01) as alice, pytest.raises(NotConnected):
        alice.remote("bob", "calculator").add(1, 2)
    with Peer("alice") as alice:
        assert alice.remote("bob", "calculator").add.call_timeout == 60


def test_call_that_does_not_wait_fails_at_once(alice: Peer) -> None:
    calculator = alice.remote("bob", "calculator", if_away="fail")
    with pytest.raises(NotConnected, match="'bob' is not connected, and this call does not wait"):
        calculator.add(1, 2)
    with pytest.raises(ValueError, match="if_away"):
        alice.remote("bob", "calculator", if_away="never")  # type: ignore[arg-type]


def test_call_that_does_not_wait_is_answered_once_its_peer_is_there(
    make_peer: MakePeer, alice: Peer
) -> None:
    calculator = alice.remote("bob", "calculator", if_away="fail")
    bob = make_peer("bob")
    bob.serve("calculator", Calculator())
    alice.connect(bob.listen("tcp://127.0.0.1:0"))
    alice.wait_for("bob", PATIENCE)
    assert calculator.add(1, 2) == 3


def test_call_that_does_not_wait_ends_with_its_connection(make_peer: MakePeer) -> None:
    alice, bob = make_peer("alice"), make_peer("bob")
    connections: list[str] = []
    alice.messaging.on_admitted.add(lambda conn_id, ident: connections.append(conn_id))
    alice.connect(bob.listen("tcp://127.0.0.1:0"))
    alice.wait_for("bob", PATIENCE)
    begun, may_end = threading.Event(), threading.Event()

    class Slow:
        def work(self) -> None:
            begun.set()
            may_end.wait(PATIENCE)

    bob.serve("slow", Slow())
    future = alice.remote("bob", "slow", if_away="fail").work.future()
    assert begun.wait(PATIENCE)
    alice.link.call_from_thread(lambda: alice.link.close(connections[0]))
    with pytest.raises(PartialCall):
        future.result(PATIENCE)
    may_end.set()


WITHOUT_RPC = """
import sys
sys.modules["snakemq.rpc"] = None
from snakemq.peer import Peer
with Peer("alice") as peer:
    for func in (lambda: peer.serve("x", object()), lambda: peer.remote("bob", "x")):
        try:
            func()
        except ImportError as exc:
            print(exc)
"""


def test_peer_without_rpc_says_what_to_install() -> None:
    command = [sys.executable, "-c", WITHOUT_RPC]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    advice = "remote calls need the package snakemq-rpc: pip install 'snakemq-peer[rpc]'\n"
    assert printed == 2 * advice


def test_calls_are_not_imported_before_they_are_used() -> None:
    code = "import sys, snakemq.peer; sys.exit('snakemq.rpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
