"""System calls for each packet, message and call, on both sides, as strace counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from snakemq.messaging._incoming._acks import ACK_DELAY

from .system_calls import Traced

MANY = 10_000
"""How much is sent in batches: enough for many of them."""

SOME = 300
"""How much goes one by one."""

BATCHED = 10 / 1000
"""Calls for each of many. Today it is one or two in a thousand; how the batches fall depends on how
the two processes take turns."""

ALONE = 3
"""Calls for one that comes and is answered: the loop wakes up, reads, and writes at once. Nothing
is asked twice, and the selector is not told to look for room to write where there is."""

FEW = 30
"""Calls that have nothing to do with their number."""


class Side(NamedTuple):
    calls: Counter[str]
    few: float
    """Calls that have nothing to do with the number of messages: acks that come by time need
    a timer and a send, or two to be received, and strace makes the time long."""
    passes: int

    @property
    def total(self) -> int:
        return self.calls.total()


Run = Callable[..., tuple[Side, Side]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run both sides of a script, each with those arguments; what dials gets the port and more."""
    with ExitStack() as stack:

        def start(script: str, *arguments: object) -> Traced:
            traced = Traced(tmp_path, script, *arguments)
            stack.callback(traced.script.end)
            return traced

        def run(
            script: str, *arguments: object, more: tuple[object, ...] = ()
        ) -> tuple[Side, Side]:
            listening = start(script, *arguments)
            port = listening.script.read_line()
            dialling = start(script, *arguments, port, *more)
            return side(dialling), side(listening)

        yield run


def side(traced: Traced) -> Side:
    calls = traced.calls()
    few = FEW + 4 * calls.seconds / ACK_DELAY
    return Side(calls.names, few, int((traced.script.lines or ["0"])[-1]))


def test_packets_that_are_queued_together(run: Run) -> None:
    for side in run("packets.py", "burst", MANY):
        assert side.total <= BATCHED * MANY, side
        assert side.passes <= BATCHED * MANY, side


def test_packets_there_and_back(run: Run) -> None:
    for side in run("packets.py", "echo", SOME):
        assert side.total <= ALONE * SOME + side.few, side
        assert side.passes <= SOME + side.few, side
        assert not side.calls["epoll_ctl"], side


def test_messages_from_the_loop(run: Run) -> None:
    for side in run("messages.py", MANY, more=("loop",)):
        assert side.total <= BATCHED * MANY, side


def test_messages_from_another_thread(run: Run) -> None:
    sender, receiver = run("messages.py", MANY, more=("thread",))
    # The two threads of the sender take turns as the machine likes, and a batch is what came in
    # between. Usually it takes 2 calls for 1,000 messages.
    assert sender.total <= 10 * BATCHED * MANY, sender
    assert receiver.total <= 10 * BATCHED * MANY, receiver
    # The loop is woken once in each sleep, however much is sent meanwhile.
    assert sender.calls["write"] <= sender.calls["epoll_wait"], sender


def test_messages_that_wait_for_the_delivery_of_the_last_one(run: Run) -> None:
    for side in run("messages.py", SOME, more=("one_by_one",)):
        assert side.total <= ALONE * SOME + side.few, side


def test_messages_each_of_which_is_sent_when_the_last_one_was(run: Run) -> None:
    sender, receiver = run("messages.py", SOME, more=("chained",))
    # Each is a send of its own. For the rest there is a pass for 16 of them, and acks come in
    # those; some more, for acks that come when nothing is left to be sent.
    assert sender.calls["sendto"] <= SOME + sender.few, sender
    assert sender.calls["epoll_wait"] <= SOME / 4 + sender.few, sender
    assert sender.passes <= SOME / 4 + sender.few, sender
    assert sender.total <= 1.5 * SOME + 2 * sender.few, sender
    assert receiver.total <= ALONE * SOME + receiver.few, receiver


def test_calls_of_remote_methods(run: Run) -> None:
    client, server = run("calls.py", SOME)
    # The calling thread sends by itself, as the loop sleeps, and is woken with the answer. It may
    # be so quick with the next call that the loop is not asleep again: one in four, far above what
    # is seen, may have to wake it up, which costs a write and one more sleep.
    assert client.calls["write"] <= SOME / 4, client
    assert client.total <= (ALONE + 2 / 4) * SOME + client.few, client
    assert server.total <= ALONE * SOME + server.few, server
    assert not client.calls["epoll_ctl"] + server.calls["epoll_ctl"]
