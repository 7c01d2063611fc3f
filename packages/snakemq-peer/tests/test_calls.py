import subprocess
import sys

import pytest

from snakemq.peer import Peer
from snakemq.rpc import NoInstanceError, NotConnected


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
