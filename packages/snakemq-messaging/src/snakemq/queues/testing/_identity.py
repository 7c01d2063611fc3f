"""Checks that the right message is meant: duplicates, deletions, updates."""

from __future__ import annotations

import time

from ._keeping import require_ttls
from ._open import Check, OpenStorage, fresh, message, require, require_items


def unknown_queue_is_empty(open_storage: OpenStorage) -> None:
    """Reading a queue that does not exist returns nothing and makes no queue."""
    with fresh(open_storage) as storage:
        require(list(storage.get_queues()) == [], "a new storage has queues")
        require(list(storage.get_items("nobody")) == [], "an unknown queue has messages")
        require(list(storage.get_queues()) == [], "get_items made a queue")


def second_push_is_ignored(open_storage: OpenStorage) -> None:
    """A message whose uuid is pushed again stays as it is and where it is."""
    with fresh(open_storage) as storage:
        first, second = message(b"first"), message(b"second")
        storage.push("peer", first)
        storage.push("peer", second)
        storage.push("peer", message(b"other content", uuid=first.uuid))
        require_items(storage, "peer", [first, second], "a second push was not ignored")
        storage.delete("peer", [first])
        require_items(storage, "peer", [second], "the ignored push appeared after the deletion")
        storage.push("peer", first)
        require_items(storage, "peer", [second, first], "a deleted message cannot be pushed again")


def one_uuid_in_two_queues(open_storage: OpenStorage) -> None:
    """One message in two queues is two items; delete removes one, delete_items removes both."""
    with fresh(open_storage) as storage:
        both, other = message(b"both"), message(b"other")
        for queue_name in ("first", "second"):
            storage.push(queue_name, both)
            storage.push(queue_name, message(b"only", uuid=queue_name.ljust(16).encode()))
        storage.push("second", other)
        storage.delete("first", [both, other])
        require(len(storage.get_items("first")) == 1, "delete deleted too much or too little")
        require(len(storage.get_items("second")) == 3, "delete reached into another queue")
        storage.push("first", both)
        storage.delete_items([both])
        violated = "delete_items left an item, or deleted another one"
        require(len(storage.get_items("first")) == 1, violated)
        require(len(storage.get_items("second")) == 2, violated)


def push_many_is_many_pushes(open_storage: OpenStorage) -> None:
    """push_many appends in order, ignores what is already there, and takes any iterable."""
    with fresh(open_storage) as storage:
        items = [message(b"%d" % n) for n in range(300)]
        storage.push("peer", items[100])
        storage.push_many("peer", iter(items))
        expected = [items[100], *items[:100], *items[101:]]
        require_items(storage, "peer", expected, "push_many after push")
        storage.push_many("twice", [items[0], items[1], items[0]])
        require_items(storage, "twice", items[:2], "a uuid twice in one push_many")
        storage.push_many("none", [])
        found = set(storage.get_queues())
        require(found == {"peer", "twice"}, "push_many of nothing changed the queues")


def deletion_is_idempotent(open_storage: OpenStorage) -> None:
    """Deleting what is not there, twice, or nothing at all, is not an error."""
    with fresh(open_storage) as storage:
        items = [message(b"%d" % n) for n in range(9)]
        storage.delete_items([items[0]])
        storage.delete("peer", [items[0]])
        storage.push_many("peer", items)
        storage.delete_items(iter(items[:3]))
        storage.delete_items([items[1], items[3], items[3], message()])
        require_items(storage, "peer", items[4:], "after delete_items")
        storage.delete("peer", iter([items[1], items[4], items[4], message()]))
        storage.delete("nobody", [items[0]])
        storage.delete_items([])
        storage.delete("peer", [])
        require_items(storage, "peer", items[5:], "after delete")
        storage.delete("peer", items)
        require(list(storage.get_queues()) == [], "a queue without messages is still listed")


def delete_all_deletes_all(open_storage: OpenStorage) -> None:
    """delete_all leaves nothing, and the storage can still be used."""
    with fresh(open_storage) as storage:
        storage.delete_all()
        for queue_name in ("first", "second", ""):
            storage.push_many(queue_name, [message(), message()])
        storage.delete_all()
        require(list(storage.get_queues()) == [], "delete_all left a queue")
        require(list(storage.get_items("first")) == [], "delete_all left messages")
        item = message()
        storage.push("first", item)
        require_items(storage, "first", [item], "push after delete_all")


def update_items_ttl_updates_ttl(open_storage: OpenStorage) -> None:
    """update_items_ttl stores the ttl of a uuid, in every queue, and nothing else."""
    with fresh(open_storage) as storage:
        items = [message(b"%d" % n, ttl) for n, ttl in enumerate([60, None, 60, 0])]
        storage.push_many("first", items)
        storage.push("second", items[0])
        changes = [
            message(b"not stored", 30.5, items[0].uuid),
            message(b"not stored", 600, items[1].uuid),
            message(b"not stored", None, items[2].uuid),
            message(b"not known", 5),
        ]
        began = time.monotonic()
        storage.update_items_ttl(iter(changes))
        storage.update_items_ttl([])
        first = [item.ttl for item in storage.get_items("first")]
        second = [item.ttl for item in storage.get_items("second")]
        passed = time.monotonic() - began
        require_ttls(first, [30.5, 600, None, 0], passed=passed)
        require_ttls(second, [30.5], passed=passed)
        require_items(storage, "first", items, "update_items_ttl changed more than the ttl")


IDENTITY_CHECKS: tuple[Check, ...] = (
    unknown_queue_is_empty,
    second_push_is_ignored,
    one_uuid_in_two_queues,
    push_many_is_many_pushes,
    deletion_is_idempotent,
    delete_all_deletes_all,
    update_items_ttl_updates_ttl,
)
