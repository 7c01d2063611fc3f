"""Checks for a storage that is also an :class:`~snakemq.queues.InboxStorage`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from snakemq.exceptions import StorageError
from snakemq.queues import ForgetfulInbox, InboxStorage, QueuesStorageBase

from ._keeping import IDENTS
from ._open import Check, OpenStorage, fresh, message, new_token, require


def remembers_the_last(open_storage: OpenStorage) -> None:
    """At least the last ``keep`` uuids of a peer are kept, in their order, whatever they are."""
    uuids = [bytes([255 - n]) * 16 for n in range(40)] + [bytes(16), b"'\"\\%" * 4]
    with fresh(open_storage) as storage:
        inbox = _inbox(storage)
        require(list(inbox.recall("peer", 10)) == [], "a new storage remembers something")
        for begin in range(0, len(uuids), 7):
            inbox.remember("peer", uuids[begin : begin + 7], 20)
        inbox.remember("peer", [], 20)
        require(list(inbox.recall("peer", 20)) == uuids[-20:], "recalls 20 others than the last 20")
        require(list(inbox.recall("peer", 3)) == uuids[-3:], "recalls 3 others than the last 3")
        recalled = list(inbox.recall("peer", 1000))
        require(recalled == uuids[-len(recalled) :], "recalls more than there is, or out of order")
        inbox.remember("peer", uuids, 5)
        require(list(inbox.recall("peer", 5)) == uuids[-5:], "a long batch lost its end")


def remembers_each_peer(open_storage: OpenStorage) -> None:
    """Each peer is remembered by itself, apart from the messages that wait for it."""
    with fresh(open_storage) as storage:
        inbox = _inbox(storage)
        uuids = {ident: n.to_bytes(16, "big") for n, ident in enumerate(IDENTS)}
        for ident, uuid in uuids.items():
            inbox.remember(ident, [uuid], 10)
        for ident, uuid in uuids.items():
            require(list(inbox.recall(ident, 10)) == [uuid], f"mixes {ident!r} with another peer")
        require(list(storage.get_queues()) == [], "remembering made a queue")
        storage.push("peer", message(uuid=uuids["peer"]))
        storage.delete_items([message(uuid=uuids["peer"])])
        require(list(inbox.recall("peer", 10)) == [uuids["peer"]], "a deletion made it forget")


def remembers_after_reopening(open_storage: OpenStorage) -> None:
    """What was remembered is still there after reopening, and more can be added."""
    token = new_token()
    uuids = [n.to_bytes(16, "big") for n in range(30)]
    for begin in range(0, 30, 10):
        with closing(open_storage(token)) as storage:
            _inbox(storage).remember("peer", uuids[begin : begin + 10], 25)
    with closing(open_storage(token)) as storage:
        require(list(_inbox(storage).recall("peer", 25)) == uuids[-25:], "reopening forgot some")


def closed_inbox_refuses(open_storage: OpenStorage) -> None:
    """After close(), remember and recall raise StorageError."""
    storage = open_storage(new_token())
    inbox = _inbox(storage)
    storage.close()
    uses: dict[str, Callable[[], object]] = {
        "remember": lambda: inbox.remember("peer", [bytes(16)], 1),
        "recall": lambda: inbox.recall("peer", 1),
    }
    for name, use in uses.items():
        try:
            use()
        except StorageError:
            continue
        raise AssertionError(f"{name} of a closed storage raised nothing")


def forgets_peers(open_storage: OpenStorage) -> None:
    """A storage that can forget peers forgets the ones it is asked to, and no others."""
    token = new_token()
    with closing(open_storage(token)) as storage:
        if not isinstance(storage, ForgetfulInbox):
            return
        inbox = _inbox(storage)
        require(dict(storage.remembered()) == {}, "a new storage remembers something")
        idents = [*IDENTS, "stays"]
        for number, ident in enumerate(idents):
            inbox.remember(ident, [bytes([number, n]) * 8 for n in range(3)], 10)
        known = dict(storage.remembered())
        require(known == dict.fromkeys(idents, 3), "remembered() has other peers or numbers")
        storage.forget([])
        storage.forget([*IDENTS, "unknown"])
        storage.forget(IDENTS)
        for ident in IDENTS:
            require(list(inbox.recall(ident, 10)) == [], f"{ident!r} was not forgotten")
        require(dict(storage.remembered()) == {"stays": 3}, "forgot another peer, or not all")
        inbox.remember(IDENTS[0], [bytes(16)], 10)
        require(list(inbox.recall(IDENTS[0], 10)) == [bytes(16)], "a forgotten peer stays away")
    with closing(open_storage(token)) as storage:
        assert isinstance(storage, ForgetfulInbox)
        known = dict(storage.remembered())
        require(known == {"stays": 3, IDENTS[0]: 1}, f"after reopening there is {known}")


def _inbox(storage: QueuesStorageBase) -> InboxStorage:
    if not isinstance(storage, InboxStorage):
        raise AssertionError(f"{type(storage).__name__} is not an InboxStorage")
    return storage


INBOX_CHECKS: tuple[Check, ...] = (
    remembers_the_last,
    remembers_each_peer,
    remembers_after_reopening,
    forgets_peers,
    closed_inbox_refuses,
)
