"""What happens to the server, and who owns a storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from pymongo.write_concern import WriteConcern

from snakemq.exceptions import SnakeMQMessageTooLarge, StorageError
from snakemq.message import Message
from snakemq.queues import open_storage as open_url
from snakemq.storage.mongodb import MongoDbQueuesStorage
from tests.servers import MongoDb
from tests.servers.checks import (
    SERVER_CHECKS,
    Check,
    Place,
    a_full_disk_costs_nothing_that_was_accepted,
    texts,
)
from tests.servers.fixtures import small_disk, started_on

pytestmark = pytest.mark.server

Open = Callable[..., MongoDbQueuesStorage]

IMPATIENT = dict.fromkeys(("connectTimeoutMS", "socketTimeoutMS"), 1000)
"""Options for a server that says nothing. One that is away is given up after a second in any case,
and not sooner, because pymongo checks at most twice a second whether it is back."""


@pytest.fixture
def collection() -> str:
    return f"test_{uuid4().hex}"


@pytest.fixture
def open_storage(server: MongoDb, collection: str) -> Open:
    return partial(MongoDbQueuesStorage, server.url, 27017, "tests", collection)


@pytest.fixture
def client(server: MongoDb) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](server.url) as client:
        yield client


@pytest.mark.parametrize("check", SERVER_CHECKS, ids=lambda check: check.__name__)
def test_server(check: Check, server: MongoDb, collection: str) -> None:
    check(Place(server, {"collection": collection}, IMPATIENT))


def test_a_full_disk_on_which_the_server_stops_itself(collection: str) -> None:
    with small_disk() as disk, started_on(disk, MongoDb) as server:
        place = Place(server, {"collection": collection}, {})
        a_full_disk_costs_nothing_that_was_accepted(place, disk.fill, disk.free)


def test_the_error_names_the_owner(open_storage: Open) -> None:
    with closing(open_storage()), pytest.raises(StorageError, match=f"process {os.getpid()} on"):
        open_storage(owner_timeout=0)


def test_a_message_too_large_for_a_document_is_refused_without_harm(open_storage: Open) -> None:
    largest = 16 * 1024 * 1024 - 512 - len("peer")
    with closing(open_storage()) as storage:
        for push in (
            lambda item: storage.push("peer", item),
            lambda item: storage.push_many("peer", [Message(b"", None), item]),
        ):
            with pytest.raises(SnakeMQMessageTooLarge, match="16777216 bytes"):
                push(Message(bytes(largest + 1), None))
        storage.push_many("peer", [Message(bytes(largest), None) for _ in range(2)])
        assert [len(text) for text in texts(storage)] == [largest] * 2


def test_pushes_go_to_the_journal(open_storage: Open, server: MongoDb) -> None:
    with closing(open_storage()) as storage:
        assert storage._collections.messages.write_concern == WriteConcern(w="majority", j=True)
        assert storage._collections.inbox.write_concern == WriteConcern(w="majority", j=True)
    with closing(open_storage(w=1)) as storage:
        assert storage._collections.messages.write_concern == WriteConcern(w=1, j=True)
    with pytest.raises(ValueError, match="w=0"):
        open_storage(w=0)


def test_the_users_client_is_left_open(client: Any, collection: str) -> None:
    with closing(MongoDbQueuesStorage(client, collection=collection)) as storage:
        storage.push("peer", Message(b"1", None))
    assert client["snakemq"][f"{collection}.messages"].count_documents({}) == 1


def test_the_uri_names_the_database(server: MongoDb, collection: str, client: Any) -> None:
    uri = server.url.replace("/?", "/of_the_uri?")
    with closing(MongoDbQueuesStorage(uri, collection=collection)) as storage:
        storage.push("peer", Message(b"1", None))
    assert client["of_the_uri"][f"{collection}.messages"].count_documents({}) == 1


def test_the_lease_of_an_owner_on_another_machine_runs_out(
    open_storage: Open, client: Any, collection: str
) -> None:
    with closing(open_storage(owner_lease=0.5)) as storage:
        storage.push("peer", Message(b"1", None))
        storage._database.lease._ended.set()  # its thread stops renewing
        elsewhere = {"$set": {"process": ["elsewhere", "", 1, "1"]}}
        client["tests"][f"{collection}.state"].update_one({"_id": "owner"}, elsewhere)
        with closing(open_storage(owner_timeout=60)) as other:
            with pytest.raises(StorageError, match="another one has taken it") as caught:
                storage.checkpoint_clock()
            assert not caught.value.temporary
            with pytest.raises(StorageError, match="another one has taken it"):
                storage.push("peer", Message(b"lost", None))
            other.push("peer", Message(b"2", None))
            assert texts(other) == [b"1", b"2"]


def test_an_owner_that_was_replaced_unawares_overwrites_nothing(
    open_storage: Open, client: Any, collection: str
) -> None:
    with closing(open_storage()) as storage:
        client["tests"][f"{collection}.messages"].insert_one({"_id": 1, "queue_name": "peer"})
        with pytest.raises(StorageError, match="another one has taken it"):
            storage.push("peer", Message(b"lost", None))


def test_open_storage_finds_it(server: MongoDb, collection: str) -> None:
    with closing(open_url(server.url, collection=collection)) as storage:
        assert type(storage) is MongoDbQueuesStorage
        storage.push("peer", Message(b"1", None))
        assert storage.count("peer") == 1
