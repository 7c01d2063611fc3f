"""The storage in memory keeps the contract, and the suite notices storages that do not."""

import time
from collections.abc import Callable, Iterable, Sequence

import pytest

from snakemq.link.testing import FakeClock
from snakemq.message import Message
from snakemq.queues import MemoryQueuesStorage, QueuesStorageBase, StoredMessage
from snakemq.queues.testing import INBOX_CHECKS, STORAGE_CHECKS, Check, OpenStorage, check_storage


def remembering(
    storage_class: type[MemoryQueuesStorage], clock: Callable[[], float] | None = None
) -> OpenStorage:
    """Return a function that opens storages in memory; a token that comes again goes on."""
    opened: dict[str, MemoryQueuesStorage] = {}

    def open_storage(token: str) -> QueuesStorageBase:
        opened[token] = storage_class(opened.get(token), clock=clock)
        return opened[token]

    return open_storage


@pytest.mark.parametrize("check", STORAGE_CHECKS + INBOX_CHECKS, ids=lambda c: c.__name__)
def test_memory_storage(check: Check) -> None:
    check(remembering(MemoryQueuesStorage))


@pytest.mark.parametrize("check", STORAGE_CHECKS + INBOX_CHECKS, ids=lambda c: c.__name__)
def test_memory_storage_with_a_clock(check: Check) -> None:
    check(remembering(MemoryQueuesStorage, time.monotonic))


def test_memory_storage_counts_ttl_with_its_clock_while_it_is_in_use() -> None:
    clock = FakeClock()
    first = MemoryQueuesStorage(clock=clock.time)
    message = Message(b"", ttl=10.0)
    first.push("peer", message)
    clock.advance(4)
    assert [item.ttl for item in first.get_items("peer")] == [6.0]
    first.close()
    clock.advance(100)  # while it is closed
    second = MemoryQueuesStorage(first, clock=clock.time)
    assert [item.ttl for item in second.get_items("peer")] == [6.0]
    clock.advance(1)
    second.update_items_ttl([Message(b"", 100.0, 0, message.uuid)])
    clock.advance(30)
    assert [stored.message.ttl for stored in second.get_page("peer", None, 1)] == [70.0]


def test_check_storage_runs_all_checks() -> None:
    check_storage(remembering(MemoryQueuesStorage), inbox=True)


class WrittenFor16(MemoryQueuesStorage):
    """Has only the methods of 1.6; the other methods are those of the base class."""

    push_many = QueuesStorageBase.push_many
    delete = QueuesStorageBase.delete
    get_page = QueuesStorageBase.get_page
    count = QueuesStorageBase.count


@pytest.mark.parametrize(
    "check",
    [c for c in STORAGE_CHECKS if c.__name__ != "one_uuid_in_two_queues"],
    ids=lambda c: c.__name__,
)
def test_default_batches_work_on_top_of_the_methods_of_16(check: Check) -> None:
    check(remembering(WrittenFor16))


class Reversed(MemoryQueuesStorage):
    def get_items(self, queue_name: str) -> Sequence[Message]:
        return super().get_items(queue_name)[::-1]


class Truncates(MemoryQueuesStorage):
    def push(self, queue_name: str, item: Message) -> None:
        copy = Message(item.data[:1_000_000], item.ttl, item.flags, item.uuid)
        super().push(queue_name, copy)


class SignedFlags(MemoryQueuesStorage):
    def push(self, queue_name: str, item: Message) -> None:
        super().push(queue_name, Message(item.data, item.ttl, item.flags & 0x7FFFFFFF, item.uuid))


class WholeSeconds(MemoryQueuesStorage):
    def push(self, queue_name: str, item: Message) -> None:
        ttl = None if item.ttl is None else int(item.ttl)
        super().push(queue_name, Message(item.data, ttl, item.flags, item.uuid))


class IgnoresCase(MemoryQueuesStorage):
    def push(self, queue_name: str, item: Message) -> None:
        super().push(queue_name.lower(), item)

    def get_items(self, queue_name: str) -> Sequence[Message]:
        return super().get_items(queue_name.lower())


class DuplicatesReplace(MemoryQueuesStorage):
    def push(self, queue_name: str, item: Message) -> None:
        super().delete(queue_name, [item])
        super().push(queue_name, item)


class DeletesEverywhere(MemoryQueuesStorage):
    delete = QueuesStorageBase.delete


class DeletesTheFirstOnly(MemoryQueuesStorage):
    def delete_items(self, items: Iterable[Message]) -> None:
        super().delete_items(list(items)[:1])


class DeleteRaises(MemoryQueuesStorage):
    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        items = list(items)
        known = {item.uuid for item in self.get_items(queue_name)}
        if not known.issuperset(item.uuid for item in items):
            raise KeyError(queue_name)
        super().delete(queue_name, items)


class ForgetsTtlUpdates(MemoryQueuesStorage):
    def update_items_ttl(self, items: Iterable[Message]) -> None:
        pass


class ForgetsAtClose(MemoryQueuesStorage):
    def close(self) -> None:
        if not self._closed:
            self.delete_all()
        super().close()


class StaysOpen(MemoryQueuesStorage):
    def close(self) -> None:
        pass


class DeleteAllLeavesQueues(MemoryQueuesStorage):
    def delete_all(self) -> None:
        names = self.get_queues()
        for name in names[1:]:
            self.delete(name, self.get_items(name))


class ListsEmptyQueues(MemoryQueuesStorage):
    def get_queues(self) -> Sequence[str]:
        super().get_queues()
        return list(self._queues)


class LosesPushesOfThreads(MemoryQueuesStorage):
    """Reads, modifies and writes without a lock, and always loses the race."""

    def get_items(self, queue_name: str) -> Sequence[Message]:
        items = super().get_items(queue_name)
        return items[:100]


class RemembersTheFirst(MemoryQueuesStorage):
    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        super().remember(ident, [*self.recall(ident, keep), *uuids][:keep], keep)


class RemembersForAll(MemoryQueuesStorage):
    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        super().remember(ident.lower(), uuids, keep)


class ForgetsWhatItProcessed(MemoryQueuesStorage):
    def close(self) -> None:
        self._inboxes.clear()
        super().close()


Pages = Sequence[StoredMessage]


class TellsOtherPositions(MemoryQueuesStorage):
    def push(self, queue_name: str, item: Message) -> int:
        super().push(queue_name, item)
        return self.count(queue_name) + 1


class PagesByIndex(MemoryQueuesStorage):
    """Takes a position for an index into what is there now."""

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Pages:
        start = 0 if after is None else after
        items = self.get_items(queue_name)[start : start + limit]
        return [StoredMessage(start + n, item) for n, item in enumerate(items, 1)]


class PagesIncludeTheirPlace(MemoryQueuesStorage):
    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Pages:
        return super().get_page(queue_name, after and after - 1, limit, max_bytes)[:limit]


class PagesAreTooLong(MemoryQueuesStorage):
    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Pages:
        return super().get_page(queue_name, after, limit + 1, max_bytes)


class PagesIgnoreBytes(MemoryQueuesStorage):
    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Pages:
        return super().get_page(queue_name, after, limit)


class NumbersBeginAgain(MemoryQueuesStorage):
    def delete_all(self) -> None:
        super().delete_all()
        self._queues.clear()


class CountsAll(MemoryQueuesStorage):
    def count(self, queue_name: str) -> int:
        return sum(super(CountsAll, self).count(name) for name in self.get_queues())


@pytest.mark.parametrize(
    ("broken", "noticed_by"),
    [
        (Reversed, "keeps_order"),
        (Truncates, "keeps_data"),
        (SignedFlags, "keeps_flags"),
        (WholeSeconds, "keeps_ttl"),
        (IgnoresCase, "keeps_idents"),
        (DuplicatesReplace, "second_push_is_ignored"),
        (DeletesEverywhere, "one_uuid_in_two_queues"),
        (DeletesTheFirstOnly, "deletion_is_idempotent"),
        (DeleteRaises, "deletion_is_idempotent"),
        (ForgetsTtlUpdates, "update_items_ttl_updates_ttl"),
        (ForgetsAtClose, "survives_reopening"),
        (StaysOpen, "close_is_final"),
        (DeleteAllLeavesQueues, "delete_all_deletes_all"),
        (ListsEmptyQueues, "deletion_is_idempotent"),
        (LosesPushesOfThreads, "two_threads_push"),
        (TellsOtherPositions, "pushes_tell_positions"),
        (PagesByIndex, "pages_are_stable"),
        (PagesIncludeTheirPlace, "pages_are_stable"),
        (PagesAreTooLong, "pages_are_the_queue"),
        (PagesIgnoreBytes, "pages_end_with_enough_bytes"),
        (NumbersBeginAgain, "an_emptied_queue_goes_on"),
        (CountsAll, "count_counts"),
        (RemembersTheFirst, "remembers_the_last"),
        (RemembersForAll, "remembers_each_peer"),
        (ForgetsWhatItProcessed, "remembers_after_reopening"),
    ],
)
def test_the_suite_notices(broken: type[MemoryQueuesStorage], noticed_by: str) -> None:
    checks = STORAGE_CHECKS + INBOX_CHECKS
    (check,) = [check for check in checks if check.__name__ == noticed_by]
    with pytest.raises((AssertionError, KeyError)):
        check(remembering(broken))
