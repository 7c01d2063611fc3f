"""Ctrl-C at any point of a send in a thread that is not the loop's, over real sockets."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

PATIENCE = 60.0

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="knows where CPython looks for signals"
)


class Stack:
    def __init__(self, ident: str) -> None:
        self.link = Link()
        self.link.reconnect_interval = 0.02
        self.messaging = Messaging(ident, "", Packeter(self.link))
        self.received: list[bytes] = []
        self.delivered: list[bytes] = []
        self.changed = threading.Condition()
        self.messaging.on_connect.add(self._tell)
        self.messaging.on_disconnect.add(self._tell)
        self.messaging.on_message_recv.add(lambda c, i, m: self._note(self.received, m.uuid))
        self.messaging.on_message_delivered.add(lambda c, i, u: self._note(self.delivered, u))
        self.thread = threading.Thread(target=self.link.loop, daemon=True)

    def _tell(self, *_: str) -> None:
        with self.changed:
            self.changed.notify_all()

    def _note(self, uuids: list[bytes], uuid: bytes) -> None:
        with self.changed:
            uuids.append(uuid)
            self.changed.notify_all()

    def is_asleep(self) -> bool:
        """The loop can be borrowed."""
        if self.link.borrow():
            self.link.give_back()
            return True
        return False


@contextmanager
def connected() -> Iterator[tuple[Stack, Stack]]:
    a, b = Stack("a"), Stack("b")
    a.link.add_connector(b.link.add_listener(("127.0.0.1", 0)))
    a.thread.start()
    b.thread.start()
    try:
        with a.changed:
            assert a.changed.wait_for(lambda: a.messaging.is_connected("b"), PATIENCE)
        yield a, b
    finally:
        a.link.cleanup()
        b.link.cleanup()


class Interrupter:
    """Raises KeyboardInterrupt at the n-th point where Python looks for signals: at the entry
    of a Python function and after the call of one in C."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_return") and argument is not sys.setprofile:
            self._left -= 1
            if not self._left:
                sys.setprofile(None)
                code = frame.f_code
                file = os.path.basename(code.co_filename)
                self.where = f"{event} in {code.co_name} of {file}:{frame.f_lineno} {argument}"
                raise KeyboardInterrupt


def interrupted_send(number: int, stack: Stack, message: Message, *, is_urgent: bool) -> str | None:
    """Where it was interrupted; ``None``: it had ended before that point."""
    interrupter = Interrupter(number)
    sys.setprofile(interrupter)
    try:
        stack.messaging.send_message("b", message, urgent=is_urgent)
    except KeyboardInterrupt:
        return interrupter.where
    finally:
        sys.setprofile(None)
    return None


def check_that_all_is_well(a: Stack, b: Stack) -> None:
    """Messages arrive, and what counts as delivered has arrived."""
    probe = a.messaging.send_message("b", Message(b"probe", ttl=60), urgent=True)
    with a.changed:
        assert a.changed.wait_for(lambda: probe in a.delivered, PATIENCE), "the way is stuck"
    assert set(a.delivered) <= set(b.received)
    with b.changed:
        assert len(b.received) == len(set(b.received))
    passed = threading.Event()
    a.link.call_from_thread(passed.set)
    assert passed.wait(PATIENCE), "the loop is stuck"
    figures = a.messaging.stats().peers["b"]
    assert figures.in_flight == figures.queued == 0


@pytest.mark.parametrize("is_urgent", [True, False])
def test_an_interruption_costs_the_connection_at_most(is_urgent: bool) -> None:
    number = 0
    while True:
        number += 1
        with connected() as (a, b):
            while not a.is_asleep():  # another pass or two after the introduction
                pass
            message = Message(b"interrupted", ttl=60)
            where = interrupted_send(number, a, message, is_urgent=is_urgent)
            if where is None:
                break
            try:
                check_that_all_is_well(a, b)
                a.messaging.send_message("b", message, urgent=is_urgent)
                check_that_all_is_well(a, b)
            except BaseException as exc:
                raise AssertionError(f"after Ctrl-C at point {number}: {where}") from exc
    assert number > 10, "nothing was interrupted"
