"""Checks of reopening, closing and threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase

from ._keeping import IDENTS, require_ttls
from ._open import Check, OpenStorage, fresh, message, new_token, require, require_items, uuids


def survives_reopening(open_storage: OpenStorage) -> None:
    """What was there at close() is still there after reopening, and more can be pushed."""
    token = new_token()
    values = [message(bytes([n]) * 1000 * n, ttl) for n, ttl in enumerate([None, 0, 0.5, 3600])]
    values.append(Message(b"\x00", None, 0xFFFFFFFF, b"\xff" * 16))
    began = time.monotonic()
    with closing(open_storage(token)) as storage:
        gone, kept = message(b"gone"), message(b"kept")
        storage.push_many("peer", [gone, *values])
        for ident in IDENTS:
            storage.push("ident " + ident, kept)
        storage.delete("peer", [gone])
    for _ in range(2):
        with closing(open_storage(token)) as storage:
            require_items(storage, "peer", values, "after reopening")
            found = [item.ttl for item in storage.get_items("peer")]
            passed = time.monotonic() - began
            require_ttls(found, [item.ttl for item in values], passed=passed)
            found_names = set(storage.get_queues())
            expected_names = {"peer", *("ident " + ident for ident in IDENTS)}
            require(found_names == expected_names, "queues changed by reopening")
            later = message(b"later")
            values.append(later)
            storage.push("peer", later)
            violated = "a push after reopening did not go to the end"
            require_items(storage, "peer", values, violated)
    with closing(open_storage(token)) as storage:
        storage.delete_all()
    with closing(open_storage(token)) as storage:
        require(list(storage.get_queues()) == [], "delete_all was undone by reopening")


def two_threads_push(open_storage: OpenStorage) -> None:
    """Threads push while the loop reads and deletes; nothing is lost, each keeps its order."""
    per_thread, names = 60, ("first", "second", "third")
    with fresh(open_storage) as storage:
        pushed = {name: [message(name.encode()) for _ in range(per_thread)] for name in names}
        # Different messages: a storage written for 1.6 deletes a uuid from all queues.
        pushed_to_all = {name: [message() for _ in range(per_thread)] for name in names}
        errors: list[BaseException] = []

        def push(name: str) -> None:
            try:
                for n, item in enumerate(pushed[name]):
                    storage.push(name, item)
                    storage.push("all", pushed_to_all[name][n])
                    if n % 10 == 0:
                        storage.push_many("many", [message()])
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=push, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        deleted: list[bytes] = []
        while any(thread.is_alive() for thread in threads):
            items = storage.get_items(names[0])
            storage.delete(names[0], items)
            deleted += uuids(items)
        for thread in threads:
            thread.join()
        if errors:
            raise AssertionError("push from another thread failed") from errors[0]
        deleted += uuids(storage.get_items(names[0]))
        violated = "pushes and deletions of two threads got mixed up"
        require(deleted == uuids(pushed[names[0]]), violated)
        for name in names[1:]:
            require_items(storage, name, pushed[name], "pushes of a thread to its queue are wrong")
        everything = uuids(storage.get_items("all"))
        violated = "pushes of several threads to one queue are lost or repeated"
        require(len(everything) == 3 * per_thread, violated)
        for name in names:
            own = set(uuids(pushed_to_all[name]))
            mine = [uuid for uuid in everything if uuid in own]
            require(mine == uuids(pushed_to_all[name]), "the order of one thread's pushes is lost")
        found = len(storage.get_items("many"))
        require(found == 18, f"push_many of several threads left {found} of 18 messages")


def close_is_final(open_storage: OpenStorage) -> None:
    """Closing twice is not an error; every use after close() raises StorageError."""
    token = new_token()
    storage = open_storage(token)
    item = message()
    storage.push("peer", item)
    storage.close()
    storage.close()
    uses: dict[str, Callable[[QueuesStorageBase], object]] = {
        "get_queues": lambda storage: storage.get_queues(),
        "get_items": lambda storage: storage.get_items("peer"),
        "get_page": lambda storage: storage.get_page("peer", None, 1),
        "count": lambda storage: storage.count("peer"),
        "push": lambda storage: storage.push("peer", message()),
        "push_many": lambda storage: storage.push_many("peer", [message()]),
        "delete_items": lambda storage: storage.delete_items([item]),
        "delete": lambda storage: storage.delete("peer", [item]),
        "delete_all": lambda storage: storage.delete_all(),
        "update_items_ttl": lambda storage: storage.update_items_ttl([item]),
    }
    for name, use in uses.items():
        try:
            use(storage)
        except StorageError:
            continue
        except Exception as error:
            raise AssertionError(f"{name} of a closed storage raised {error!r}") from error
        raise AssertionError(f"{name} of a closed storage raised nothing")
    with closing(open_storage(token)) as storage:
        require_items(storage, "peer", [item], "use after close changed something")


LIFETIME_CHECKS: tuple[Check, ...] = (survives_reopening, two_threads_push, close_is_final)
