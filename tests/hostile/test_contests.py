"""A stranger claims the ident of a peer that is alive, and busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from snakemq.exceptions import SnakeMQDuplicateIdent
from tests.support.running_stack import Stack

from .stranger import VERSION, Stranger, features, identification


@pytest.fixture
def alice() -> Iterator[Stack]:
    stack = Stack("alice")
    stack.messaging.keepalive_wait = 0.01
    yield stack
    stack.close()


class Busy(Stack):
    """Works on each message until it is told to go on."""

    def __init__(self, ident: str) -> None:
        self.is_working = threading.Event()
        self.may_go_on = threading.Event()
        super().__init__(ident)
        self.messaging.on_message_recv.add(self._work)

    def _work(self, *_: object) -> None:
        self.is_working.set()
        assert self.may_go_on.wait(15)


@pytest.fixture
def bob() -> Iterator[Busy]:
    stack = Busy("bob")
    yield stack
    stack.may_go_on.set()
    stack.close()


@pytest.mark.parametrize("liars", [1, 5])
def test_a_busy_peer_keeps_its_ident(alice: Stack, bob: Busy, liars: int) -> None:
    address = alice.listen()
    bob.dial(address)
    alice.until_connected("bob")
    alice.send("bob", b"work")
    assert bob.is_working.wait(15)
    others = [Stranger(address) for _ in range(liars)]
    for other in others:
        other.say(VERSION, features(), identification("bob"))
    later: list[str] = []
    # 20 waits of a keep-alive; bob has said nothing by then
    alice.in_loop(lambda: alice.link.call_later(0.2, lambda: alice.write(later, "now")))
    alice.until(lambda: later)
    bob.may_go_on.set()
    alice.problem(SnakeMQDuplicateIdent)
    for other in others:
        frames = other.hear_to_the_end()
        assert not [frame for frame in frames if frame[:1] == b"\x03"]
        other.close()
    assert alice.disconnected == []
