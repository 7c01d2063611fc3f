"""Checks of reading a queue page by page, while messages come and go."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from snakemq.queues import QueuesStorageBase, StoredMessage

from ._open import Check, OpenStorage, fresh, message, require, uuids


def pages_are_the_queue(open_storage: OpenStorage) -> None:
    """The pages of a queue, whatever their size, add up to that queue alone."""
    with fresh(open_storage) as storage:
        items = [message(bytes([255 - n]) * n, uuid=bytes([255 - n]) * 16) for n in range(50)]
        for item in items:
            storage.push("other", message())
            storage.push("peer", item)
        for limit in (1, 7, 49, 50, 51, 1000):
            pages = list(_pages(storage, "peer", limit))
            whole = [stored.message for page in pages for stored in page]
            require(uuids(whole) == uuids(items), f"pages of {limit} are not the queue")
            require([m.data for m in whole] == [m.data for m in items], "data changed in pages")
            if _can_page(storage):
                sizes = [len(page) for page in pages]
                require(max(sizes) <= limit, f"a page of {limit} has {max(sizes)} messages")
        require(not storage.get_page("nobody", None, 10), "an unknown queue has a page")
        require(not storage.get_page("nobody", 1, 10), "an unknown queue has a page")


def positions_ascend(open_storage: OpenStorage) -> None:
    """Positions ascend within a queue, and are the same each time they are read."""
    with fresh(open_storage) as storage:
        storage.push_many("peer", [message() for _ in range(20)])
        first = [stored.position for page in _pages(storage, "peer", 6) for stored in page]
        storage.push_many("peer", [message() for _ in range(20)])
        second = [stored.position for page in _pages(storage, "peer", 9) for stored in page]
        require(second[:20] == first, "positions changed")
        require(sorted(set(second)) == second, "positions do not ascend")


def pushes_tell_positions(open_storage: OpenStorage) -> None:
    """If a push returns a position, pages have the same one."""
    with fresh(open_storage) as storage:
        items = [message() for _ in range(8)]
        pushed = [storage.push("peer", item) for item in items[:3]]
        pushed += storage.push_many("peer", items[3:6]) or [None] * 3
        ignored = storage.push("peer", items[1])
        pushed += [storage.push("peer", item) for item in items[6:]]
        found = [stored.position for stored in storage.get_page("peer", None, 100)]
        if None in pushed:
            require(set(pushed) == {None} and ignored is None, "only some pushes return positions")
        else:
            require(pushed == found, f"pushes returned {pushed}, pages have {found}")
            require(ignored not in found[:1] + found[2:], "an ignored push has another's position")


def pages_end_with_enough_bytes(open_storage: OpenStorage) -> None:
    """A page ends with the message that reaches ``max_bytes``, and has at least one."""
    with fresh(open_storage) as storage:
        sizes = [10, 10, 10, 100_000, 10, 0, 0, 10]
        items = [message(bytes(size)) for size in sizes]
        storage.push_many("peer", items)
        pages = [list(page) for page in _pages(storage, "peer", 100, max_bytes=20)]
        found = [stored.message for page in pages for stored in page]
        require(uuids(found) == uuids(items), "pages with max_bytes are not the queue")
        if _can_page(storage):
            counts = [len(page) for page in pages]
            require(counts == [2, 2, 4], f"data of {sizes} bytes came in pages of {counts}")


def pages_are_stable(open_storage: OpenStorage) -> None:
    """Pages stay right while messages are pushed and deleted on both sides of the position."""
    with fresh(open_storage) as storage:
        items = [message(b"%d" % n) for n in range(30)]
        storage.push_many("peer", items[:20])
        page = storage.get_page("peer", None, 5)
        found = uuids(stored.message for stored in page[:5])
        require(found == uuids(items[:5]), "the first page is wrong")
        after = page[4].position
        # Delete what was read, the position itself included, and some behind it; push more.
        storage.delete("peer", [*items[:5], items[6], items[19]])
        storage.push_many("peer", items[20:])
        storage.push("peer", items[0])
        expected = [items[5], *items[7:19], *items[20:], items[0]]
        rest = [stored.message for page in _pages(storage, "peer", 4, after) for stored in page]
        require(uuids(rest) == uuids(expected), "the pages behind a position are wrong")
        whole = [stored.message for page in _pages(storage, "peer", 4) for stored in page]
        require(uuids(whole) == uuids(expected), "the pages from the beginning are wrong")


def an_emptied_queue_goes_on(open_storage: OpenStorage) -> None:
    """A position stays valid even after its whole queue was deleted."""
    with fresh(open_storage) as storage:
        items = [message(b"%d" % n) for n in range(9)]
        storage.push_many("peer", items[:3])
        after = storage.get_page("peer", None, 3)[-1].position
        storage.delete("peer", items[:3])
        require(not storage.get_page("peer", after, 5), "an emptied queue has a page")
        storage.push("peer", items[3])
        storage.push("peer", items[1])
        page = storage.get_page("peer", after, 5)
        found = uuids(stored.message for stored in page)
        require(found == uuids([items[3], items[1]]), "a page after the queue was emptied is wrong")
        storage.delete_all()
        storage.push_many("peer", items[4:])
        if _can_page(storage):
            page = storage.get_page("peer", page[-1].position, 50)
            found = uuids(stored.message for stored in page)
            require(found == uuids(items[4:]), "a page after delete_all is wrong")


def pages_miss_nothing_of_threads(open_storage: OpenStorage) -> None:
    """Threads push while the pages are read and deleted: each message comes exactly once."""
    per_thread = 80
    with fresh(open_storage) as storage:
        errors: list[BaseException] = []

        def push(name: bytes) -> None:
            try:
                for n in range(0, per_thread, 4):
                    storage.push("peer", message(name + b"%d" % n))
                    storage.push_many("peer", [message(name + b"%d" % (n + i)) for i in (1, 2, 3)])
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=push, args=(name,)) for name in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        found: list[bytes] = []
        after: int | None = None
        while len(found) < len(threads) * per_thread and not errors:
            running = any(thread.is_alive() for thread in threads)
            page = storage.get_page("peer", after, 10)
            if page:
                after = page[-1].position
                found += [stored.message.data for stored in page]
                storage.delete("peer", [stored.message for stored in page])
            elif not running:
                break
        for thread in threads:
            thread.join()
        if errors:
            raise AssertionError("push from another thread failed") from errors[0]
        for name in (b"a", b"b", b"c"):
            own = [data for data in found if data.startswith(name)]
            expected = [name + b"%d" % n for n in range(per_thread)]
            violated = f"{len(own)} of {per_thread} messages of a thread came, or came out of order"
            require(own == expected, violated)


def count_counts(open_storage: OpenStorage) -> None:
    """count() returns the number of messages in a queue."""
    with fresh(open_storage) as storage:
        require(storage.count("peer") == 0, "an unknown queue has messages")
        items = [message() for _ in range(5)]
        storage.push_many("peer", items)
        storage.push("peer", items[0])
        storage.push("other", items[0])
        require(storage.count("peer") == 5, "count is wrong after pushes")
        storage.delete("peer", items[:2])
        require(storage.count("peer") == 3, "count is wrong after deletions")


def _pages(
    storage: QueuesStorageBase,
    queue_name: str,
    limit: int,
    after: int | None = None,
    max_bytes: int | None = None,
) -> Iterator[list[StoredMessage]]:
    while page := list(storage.get_page(queue_name, after, limit, max_bytes)):
        last = page[-1].position
        require(after is None or last > after, "a page is not behind the position that was given")
        yield page
        after = last


def _can_page(storage: QueuesStorageBase) -> bool:
    """Tell whether the storage ends its pages. The default returns everything at once."""
    return type(storage).get_page is not QueuesStorageBase.get_page


PAGING_CHECKS: tuple[Check, ...] = (
    pages_are_the_queue,
    positions_ascend,
    pushes_tell_positions,
    pages_end_with_enough_bytes,
    pages_are_stable,
    an_emptied_queue_goes_on,
    pages_miss_nothing_of_threads,
    count_counts,
)
