"""A file that was written by 1.6 is ours to deliver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from snakemq.message import FLAG_PERSISTENT
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.support.running_stack import Received

from .conftest import OURS, THEIRS, MakeGenuine, MakeStack
from .genuine import random_bytes

SIZES = [0, 1, 100_000, *range(50)]
LARGE = 64 * 1024
"""Bytes. Shorter messages may pass larger ones."""

OpenStorage = Callable[[Path], SqliteQueuesStorage]


@pytest.fixture
def open_storage() -> Iterator[OpenStorage]:
    """Closes the storages at the end. A test names it before the stacks, so that they end first."""
    with ExitStack() as storages:
        yield lambda file: storages.enter_context(closing(SqliteQueuesStorage(file)))


def test_a_file_of_1_6_is_delivered_in_its_order(
    open_storage: OpenStorage, make_stack: MakeStack, make_genuine: MakeGenuine, tmp_path: Path
) -> None:
    file = tmp_path / "queues.db"
    author = make_genuine(THEIRS, file)
    expected: list[Received] = []
    for ttl, flags in [(None, FLAG_PERSISTENT), (1000, 0x80000001), (500.5, FLAG_PERSISTENT)]:
        uuids = author.do("send", ident="bob", sizes=SIZES, ttl=ttl, flags=flags)
        author.do("send", ident="bob", sizes=[1], ttl=ttl, flags=0)  # not persistent: dies
        author.do("send", ident="žofie", sizes=[7], ttl=ttl, flags=flags)
        expected += [
            Received(THEIRS, random_bytes(seed, size), ttl, flags, bytes.fromhex(uuids[seed]))
            for seed, size in enumerate(SIZES)
        ]
    author.kill()

    # Each process that opens the file is the same peer to the others.
    heir = make_stack(THEIRS, storage=open_storage(file))
    bob, zofie = make_stack("bob"), make_stack("žofie")
    address = heir.listen()
    bob.dial(address)
    bob.until(lambda: len(bob.received) == len(expected))
    arrived = in_order_of_each_size(bob.received)
    # In whole seconds, of which some may have passed.
    for received, written in zip(arrived, in_order_of_each_size(expected), strict=True):
        assert received._replace(ttl=None) == written._replace(ttl=None)
        if written.ttl is None:
            assert received.ttl is None
        else:
            assert received.ttl is not None
            assert written.ttl - 10 < received.ttl <= written.ttl
    zofie.dial(address)
    zofie.until(lambda: len(zofie.received) == 3)


def in_order_of_each_size(messages: list[Received]) -> list[Received]:
    """Return the small messages in their order, then the large ones in theirs."""
    return sorted(messages, key=lambda message: len(message.data) > LARGE)


def test_what_we_delivered_from_a_file_of_1_6_is_not_delivered_again(
    open_storage: OpenStorage, make_stack: MakeStack, make_genuine: MakeGenuine, tmp_path: Path
) -> None:
    file = tmp_path / "queues.db"
    author = make_genuine(OURS, file)
    author.do("send", ident=THEIRS, sizes=[1] * 20, ttl=None, flags=FLAG_PERSISTENT)
    author.kill()
    storage = open_storage(file)
    ours, theirs = make_stack(OURS, storage=storage), make_genuine(THEIRS)
    ours.dial(theirs.listen())
    theirs.event("received", count=20)
    ours.until(lambda: len(ours.sent) == 20)
    ours.in_loop(ours.messaging.close)
    storage.close()
    assert open_storage(file).get_queues() == []
