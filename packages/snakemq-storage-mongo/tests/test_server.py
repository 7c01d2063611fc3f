"""What happens to the server, and who owns a storage."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from snakemq.exceptions import SnakeMQMessageTooLarge, StorageError
from snakemq.message import Message
from snakemq.queues import open_storage as open_url
from snakemq.storage.mongodb import MongoDbQueuesStorage
from tests.servers import MongoDb

pytestmark = pytest.mark.server

Open = Callable[..., MongoDbQueuesStorage]


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


def texts(storage: MongoDbQueuesStorage, queue_name: str = "peer") -> list[bytes]:
    return [item.data for item in storage.get_items(queue_name)]


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_stopped_server_fails_each_call_at_once_and_works_again_when_it_is_back(
    server: MongoDb, open_storage: Open, how: str
) -> None:
    with closing(open_storage(serverSelectionTimeoutMS=200)) as storage:
        storage.push("peer", Message(b"before", None))
        position = storage.get_page("peer", None, 1)[0].position
        getattr(server, how)()
        calls: tuple[Callable[[], object], ...] = (
            lambda: storage.push("peer", Message(b"lost", None)),
            lambda: storage.push_many("peer", [Message(b"lost", None) for _ in range(2)]),
            lambda: storage.get_items("peer"),
            lambda: storage.delete_all(),
            lambda: storage.remember("peer", [bytes(16)], 5),
            lambda: open_storage(serverSelectionTimeoutMS=200),
        )
        for call in calls:
            with pytest.raises(StorageError) as caught:
                call()
            assert caught.value.temporary
            assert isinstance(caught.value.__cause__, PyMongoError)
        server.start()
        storage.push("peer", Message(b"after", None))
        page = storage.get_page("peer", position, 10)
        assert [stored.message.data for stored in page] == [b"after"]
        assert texts(storage) == [b"before", b"after"]
        assert storage.recall("peer", 5) == []


def test_a_restart_between_two_calls_is_not_noticed(server: MongoDb, open_storage: Open) -> None:
    with closing(open_storage()) as storage:
        calls: tuple[Callable[[], object], ...] = (
            lambda: storage.push("peer", Message(b"1", None)),
            lambda: storage.push_many("peer", [Message(b"2", None), Message(b"3", None)]),
            lambda: storage.remember("peer", [bytes(16)], 5),
            lambda: storage.delete("peer", storage.get_items("peer")[:1]),
        )
        for call in calls:
            server.stop()
            server.start()
            call()
        assert texts(storage) == [b"2", b"3"]
        assert storage.recall("peer", 5) == [bytes(16)]


def test_crashes_under_load_lose_nothing_and_keep_what_failed_out(
    server: MongoDb, open_storage: Open
) -> None:
    accepted: dict[int, list[bytes]] = {n: [] for n in range(4)}
    failed: set[bytes] = set()
    done = threading.Event()
    with closing(open_storage(serverSelectionTimeoutMS=100)) as storage:

        def push(n: int) -> None:
            while not done.is_set():
                batch = [Message(b"%d" % n, None) for _ in range(1 + n)]
                try:
                    storage.push_many("peer", batch)
                    accepted[n] += [item.uuid for item in batch]
                except StorageError:
                    failed.update(item.uuid for item in batch)

        threads = [threading.Thread(target=push, args=(n,)) for n in accepted]
        for thread in threads:
            thread.start()
        for _ in range(2):
            wanted = [len(uuids) + 30 for uuids in accepted.values()]
            while any(len(accepted[n]) < wanted[n] for n in accepted):
                threads[0].join(0.01)
            server.crash()
            server.start()
        done.set()
        for thread in threads:
            thread.join()
        found = [item.uuid for item in storage.get_items("peer")]
    assert len(found) == len(set(found))
    for uuids in accepted.values():
        own = set(uuids)
        assert [uuid for uuid in found if uuid in own] == uuids
    assert not failed & set(found)


def test_a_batch_that_fails_in_the_middle_leaves_nothing(open_storage: Open) -> None:
    with closing(open_storage()) as storage:
        unstorable = Message(b"", None)
        unstorable.flags = 1 << 64
        with pytest.raises(StorageError, match="8-byte"):
            storage.push_many("peer", [Message(b"x" * 1000, None), unstorable])
        assert storage.get_queues() == []
        storage.push("peer", Message(b"good", None))
        assert texts(storage) == [b"good"]


def test_a_message_that_no_document_holds_is_refused_and_harms_nobody(open_storage: Open) -> None:
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
        assert storage._messages.write_concern == WriteConcern(w="majority", j=True)
        assert storage._inbox.write_concern == WriteConcern(w="majority", j=True)
    with closing(open_storage(w=1)) as storage:
        assert storage._messages.write_concern == WriteConcern(w=1, j=True)
    with pytest.raises(ValueError, match="w=0"):
        open_storage(w=0)


def test_a_client_of_the_users_is_left_open(client: Any, collection: str) -> None:
    with closing(MongoDbQueuesStorage(client, collection=collection)) as storage:
        storage.push("peer", Message(b"1", None))
    assert client["snakemq"][f"{collection}.messages"].count_documents({}) == 1


def test_the_database_is_the_one_of_the_uri(server: MongoDb, collection: str, client: Any) -> None:
    uri = server.url.replace("/?", "/of_the_uri?")
    with closing(MongoDbQueuesStorage(uri, collection=collection)) as storage:
        storage.push("peer", Message(b"1", None))
    assert client["of_the_uri"][f"{collection}.messages"].count_documents({}) == 1


def test_a_second_owner_is_refused_until_the_first_lets_go(open_storage: Open) -> None:
    with closing(open_storage()) as storage:
        for _ in range(2):
            with pytest.raises(StorageError, match=f"process {os.getpid()} on") as caught:
                open_storage(owner_timeout=0)
            assert caught.value.temporary
        storage.push("peer", Message(b"1", None))
    with closing(open_storage(owner_timeout=0)) as storage:
        assert texts(storage) == [b"1"]


OWNER = """
import sys
from snakemq.message import Message
from snakemq.queues import open_storage as open_url
from snakemq.storage.mongodb import MongoDbQueuesStorage
storage = MongoDbQueuesStorage(sys.argv[1], 27017, "tests", sys.argv[2])
storage.push("peer", Message(b"from the child", None))
print("open", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere its time has to run out")
def test_a_killed_owner_blocks_nobody(server: MongoDb, collection: str, open_storage: Open) -> None:
    command = [sys.executable, "-c", OWNER, server.url, collection]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(StorageError, match=f"process {process.pid} on"):
            open_storage(owner_timeout=0)
        process.kill()
        process.wait()
        with closing(open_storage(owner_timeout=0)) as storage:
            assert texts(storage) == [b"from the child"]


def test_the_time_of_an_owner_of_another_machine_runs_out(
    open_storage: Open, client: Any, collection: str
) -> None:
    with closing(open_storage(owner_lease=0.5)) as storage:
        storage.push("peer", Message(b"1", None))
        storage._lease._ended.set()  # its thread stands still
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


def test_an_owner_that_does_not_know_yet_overwrites_nothing(
    open_storage: Open, client: Any, collection: str
) -> None:
    with closing(open_storage()) as storage:
        client["tests"][f"{collection}.messages"].insert_one({"_id": 1, "queue_name": "peer"})
        with pytest.raises(StorageError, match="another one has taken it"):
            storage.push("peer", Message(b"lost", None))


FORK = """
import os, sys
from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import open_storage as open_url
from snakemq.storage.mongodb import MongoDbQueuesStorage
storage = MongoDbQueuesStorage(sys.argv[1], 27017, "tests", sys.argv[2])
storage.push("peer", Message(b"before", None))
pid = os.fork()
if pid == 0:
    try:
        storage.push("peer", Message(b"from the fork", None))
    except StorageError as error:
        assert "fork" in str(error)
        storage.close()
        raise SystemExit(0)
    os._exit(1)
assert os.waitpid(pid, 0)[1] == 0
storage.push("peer", Message(b"after", None))
storage.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_no_harm(server: MongoDb, collection: str, open_storage: Open) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK, server.url, collection]
    subprocess.run(command, check=True)
    with closing(open_storage(owner_timeout=0)) as storage:
        assert texts(storage) == [b"before", b"after"]


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_ttl_goes_on_where_it_was(open_storage: Open) -> None:
    clock = FakeClock()
    with closing(open_storage(clock=clock)) as storage:
        storage.push("peer", Message(b"", 100))
        clock.now += 30
        assert storage.get_items("peer")[0].ttl == 70
    clock.now += 1000
    with closing(open_storage(clock=clock)) as storage:
        assert storage.get_items("peer")[0].ttl == 70
        clock.now += 80
        assert storage.get_items("peer")[0].ttl == 0


def test_open_storage_finds_it(server: MongoDb, collection: str) -> None:
    with closing(open_url(server.url, collection=collection)) as storage:
        assert type(storage) is MongoDbQueuesStorage
        storage.push("peer", Message(b"1", None))
        assert storage.count("peer") == 1
