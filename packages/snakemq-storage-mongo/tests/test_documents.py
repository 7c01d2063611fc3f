"""Documents of snakeMQ 1.6, and documents that are not messages."""

from __future__ import annotations

import logging
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import pymongo
import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.mongodb import MongoDbQueuesStorage
from tests.servers import MongoDb

pytestmark = pytest.mark.server

Open = Callable[..., MongoDbQueuesStorage]


@pytest.fixture
def parent(server: MongoDb) -> Iterator[Any]:
    with pymongo.MongoClient[Any](server.url) as client:
        yield client["tests"][f"test_{uuid4().hex}"]


@pytest.fixture
def open_storage(server: MongoDb, parent: Any) -> Open:
    return partial(MongoDbQueuesStorage, server.url, 27017, "tests", parent.name, clock=lambda: 0.0)


def uuid(n: int) -> bytes:
    """Return uuids that descend, so an order by uuid does not pass for the natural one."""
    return (0xFFFF - n).to_bytes(16, "big")


def v16(n: int, **changes: Any) -> dict[str, Any]:
    """Make a document as snakemq/storage/mongodb.py of snakemq 1.6.0 writes it."""
    document = {
        "queue_name": "peer",
        "uuid": b2a_base64(uuid(n)),
        "data": b2a_base64(b"%d" % n),
        "ttl": None,
        "flags": 1,
    }
    return document | changes


def test_documents_of_1_6_are_taken_over_in_order_and_kept_as_a_backup(
    parent: Any, open_storage: Open
) -> None:
    for n in range(450):
        parent.snakemq_items.insert_one(v16(n, ttl=[None, 0, 60, 60.5, -3.25][n % 5]))
    other = v16(1000, queue_name="Jos\u00e9", flags=0x80000001, uuid=b2a_base64(uuid(9)).decode())
    parent.snakemq_items.insert_one(other | {"data": b2a_base64(bytes(9_000_000))})
    ttls = [None, 0.0, 60.0, 60.5, 0.0]
    for _ in range(2):
        with closing(open_storage()) as storage:
            found = [(i.uuid, i.data, i.ttl, i.flags) for i in storage.get_items("peer")]
            assert found == [(uuid(n), b"%d" % n, ttls[n % 5], 1) for n in range(450)]
            (item,) = storage.get_items("Jos\u00e9")
            assert (item.uuid, item.flags) == (uuid(9), 0x80000001)
            assert item.data == bytes(9_000_000)
    assert parent.snakemq_items.count_documents({}) == 0
    assert parent.snakemq_items_v16_backup.count_documents({}) == 451


def test_an_interrupted_takeover_starts_over(parent: Any, open_storage: Open) -> None:
    parent.snakemq_items.insert_many([v16(1), v16(2), v16(3, flags="x"), v16(4)])
    open_storage().close()
    # as if it had been killed before the last message, and so before the renaming
    parent.snakemq_items_v16_backup.rename(f"{parent.name}.snakemq_items")
    parent.messages.delete_one({"uuid": uuid(4)})
    with closing(open_storage()) as storage:
        assert [item.uuid for item in storage.get_items("peer")] == [uuid(1), uuid(2), uuid(4)]
    assert parent.set_aside.count_documents({}) == 1


def test_documents_that_1_6_writes_later_go_to_the_end(parent: Any, open_storage: Open) -> None:
    parent.snakemq_items.insert_one(v16(1))
    with closing(open_storage()) as storage:
        storage.push("peer", Message(b"ours", None))
    parent.snakemq_items.insert_many([v16(1, data=b2a_base64(b"again")), v16(2)])
    with closing(open_storage()) as storage:
        assert [item.data for item in storage.get_items("peer")] == [b"1", b"ours", b"2"]
    assert parent.snakemq_items_v16_backup_2.count_documents({}) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"uuid": b"!"},
        {"uuid": b2a_base64(b"short")},
        {"uuid": 7},
        {"data": None},
        {"flags": 1.5},
        {"ttl": "x"},
        {"queue_name": None},
    ],
    ids=str,
)
def test_a_document_of_1_6_that_is_not_a_message_is_set_aside(
    parent: Any, open_storage: Open, changes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    parent.snakemq_items.insert_many([v16(1), v16(2, **changes), v16(3)])
    with closing(open_storage()) as storage:
        assert [item.uuid for item in storage.get_items("peer")] == [uuid(1), uuid(3)]
    (kept,) = parent.set_aside.find()
    assert kept["document"].items() >= changes.items()
    (report,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert report.name == "snakemq.storage.mongodb"


DAMAGE: dict[str, Any] = {
    "a short uuid": {"$set": {"uuid": b"short"}},
    "a uuid of another type": {"$set": {"uuid": "sixteen bytes ok"}},
    "no uuid": {"$unset": {"uuid": 1}},
    "no data": {"$unset": {"data": 1}},
    "data of another type": {"$set": {"data": "text"}},
    "negative flags": {"$set": {"flags": -1}},
    "flags of another type": {"$set": {"flags": True}},
    "a ttl that is not a number": {"$set": {"ttl": float("nan")}},
    "an infinite ttl": {"$set": {"ttl": float("inf")}},
    "no stored_at": {"$unset": {"stored_at": 1}},
    "another queue_name": {"$set": {"queue_name": 7}},
    "no queue_name": {"$unset": {"queue_name": 1}},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_document_is_set_aside_and_holds_up_no_other(
    parent: Any, open_storage: Open, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_storage()) as storage:
        storage.push_many("peer", [Message(b"%d" % n, 60) for n in range(3)])
        parent.messages.update_one({"_id": 2}, damage)
        for _ in range(2):
            assert storage.get_queues() == ["peer"]
            page = storage.get_page("peer", 1, 1)
            assert [stored.message.data for stored in page] == [b"2"]
            assert [item.data for item in storage.get_items("peer")] == [b"0", b"2"]
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    (kept,) = parent.set_aside.find()
    assert kept["_id"] == kept["document"]["_id"] == 2


HEADERS = {"content-type": "text/plain"}


def of_version_1(seq: int, ttl: float | None, flags: int) -> dict[str, Any]:
    """Make a document as snakemq-storage-mongo 2.0.0 writes it. Never change it."""
    return {
        "_id": seq,
        "queue_name": "bob",
        "uuid": uuid(seq),
        "ttl": ttl,
        "stored_at": 90.0,
        "flags": flags,
        "data": b"\0\xff",
    }


def test_documents_of_2_0_are_still_messages(parent: Any, open_storage: Open) -> None:
    parent.messages.insert_many([of_version_1(3, 60.0, 1), of_version_1(9, None, 0xFFFFFFFF)])
    parent.state.insert_one({"_id": "schema", "version": 1})
    with closing(open_storage()) as storage:
        first, last = storage.get_items("bob")
        assert (first.uuid, first.data, first.ttl, first.flags) == (uuid(3), b"\0\xff", 60.0, 1)
        assert (last.uuid, last.ttl, last.flags) == (uuid(9), None, 0xFFFFFFFF)
        assert first.headers == last.headers == {}
        storage.push("bob", Message(b"new", None, headers=HEADERS))
        assert [item.headers for item in storage.get_items("bob")] == [{}, {}, HEADERS]
    assert parent.state.find_one({"_id": "schema"})["version"] == 2
    assert [document.keys() - {"headers"} for document in parent.messages.find()] == [
        of_version_1(1, None, 1).keys()
    ] * 3


def test_a_message_without_headers_is_the_document_that_2_0_writes(
    parent: Any, open_storage: Open
) -> None:
    with closing(open_storage()) as storage:
        storage.push("bob", Message(b"data", None))
    (document,) = parent.messages.find()
    assert document.keys() == of_version_1(1, None, 1).keys()


def test_a_newer_version_is_refused_and_left_alone(parent: Any, open_storage: Open) -> None:
    open_storage().close()
    parent.state.update_one({"_id": "schema"}, {"$set": {"version": 3}})
    with pytest.raises(StorageError, match=r"schema version 3, .* up to 2; upgrade ") as caught:
        open_storage()
    assert not caught.value.temporary
    assert parent.state.find_one({"_id": "schema"})["version"] == 3


def test_documents_can_be_made_those_of_2_0_again(parent: Any, open_storage: Open) -> None:
    """These are the commands that storages.md tells."""
    with closing(open_storage()) as storage:
        storage.push("bob", Message(b"data", None, headers=HEADERS))
    parent.messages.update_many({}, {"$unset": {"headers": 1}})
    parent.state.update_one({"_id": "schema"}, {"$set": {"version": 1}})
    (document,) = parent.messages.find()
    assert document.keys() == of_version_1(1, None, 1).keys()
    with closing(open_storage()) as storage:
        assert [(item.data, item.headers) for item in storage.get_items("bob")] == [(b"data", {})]


@pytest.mark.parametrize("broken", [b"\1a", b"\1A\0\0", "text", 7, {"a": "b"}])
def test_headers_that_cannot_be_read_are_set_aside(
    parent: Any, open_storage: Open, broken: object
) -> None:
    with closing(open_storage()) as storage:
        storage.push_many("bob", [Message(b"%d" % n, None, headers=HEADERS) for n in range(3)])
    parent.messages.update_one({"data": b"1"}, {"$set": {"headers": broken}})
    with closing(open_storage()) as storage:
        assert [item.data for item in storage.get_items("bob")] == [b"0", b"2"]
    assert parent.set_aside.find_one()["document"]["headers"] == broken
