"""Messages of a backlog that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from .stores import Durable, MakeStack, Store, heard, numbers, persistent

pytestmark = pytest.mark.server

MakeDurable = Callable[[str, Store], Durable]


DAMAGED = [0, 20, *range(40, 60), 99]
"""Numbers of the damaged messages: the first, the last, one in the middle, and two whole pages."""


def test_damaged_messages_are_set_aside_and_others_arrive_in_order(
    store: Store,
    durable: MakeDurable,
    make_stack: MakeStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = store.open()
    storage.push_many("bob", persistent(*numbers(100)))
    storage.close()
    for number in DAMAGED:
        store.damage(b"%d" % number)
    alice, bob = durable("alice", store), make_stack("bob")
    alice.send("bob", b"between", None)  # behind those that are there, readable or not
    for text in numbers(50, 100):
        alice.send("bob", text, None, 1)
    alice.send("bob", b"transient", None)
    alice.messaging.send_messages("bob", persistent(b"last"))
    with caplog.at_level(logging.ERROR):
        bob.dial(alice.listen())
        bob.until(lambda: b"last" in heard(bob))
    found = [text for n, text in enumerate(numbers(100)) if n not in DAMAGED]
    assert heard(bob) == [*found, b"between", *numbers(50, 100), b"transient", b"last"]
    assert alice.left(len(bob.received)) == []
    reports = [record for record in caplog.records if record.name.startswith("snakemq.storage")]
    assert len(reports) == len(DAMAGED)
    assert alice.problems == alice.dropped == bob.problems == []
    assert alice.messaging.stats().peers["bob"].queued == 0
