"""What happens to the server, and who owns a storage."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from snakemq.exceptions import SnakeMQMessageTooLarge, StorageError
from snakemq.message import Message
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
from tests.servers import MariaDb, PostgreSql, Server
from tests.servers.fixtures import started

pytestmark = pytest.mark.server

Storage = SqlAlchemyQueuesStorage


@pytest.fixture(scope="module", params=[PostgreSql, MariaDb], ids=lambda kind: kind.name)
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with started(request.param) as server:
        yield server


@pytest.fixture
def server(any_server: Server) -> Server:
    """With no storage in it."""
    if any_server.process is None or any_server.process.poll() is not None:
        any_server.start()
    with closing(Storage(any_server.url)) as storage:
        storage.drop_structures()
    return any_server


def texts(storage: Storage, queue_name: str = "peer") -> list[bytes]:
    return [item.data for item in storage.get_items(queue_name)]


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_stopped_server_fails_each_call_at_once_and_works_again_when_it_is_back(
    server: Server, how: str
) -> None:
    with closing(Storage(server.url)) as storage:
        storage.push("peer", Message(b"before", None))
        position = storage.get_page("peer", None, 1)[0].position
        getattr(server, how)()
        calls: tuple[Callable[[], object], ...] = (
            lambda: storage.push("peer", Message(b"lost", None)),
            lambda: storage.push_many("peer", [Message(b"lost", None)] * 2),
            lambda: storage.get_items("peer"),
            lambda: storage.delete_all(),
            lambda: storage.remember("peer", [bytes(16)], 5),
            lambda: Storage(server.url),
        )
        for call in calls:
            with pytest.raises(StorageError) as caught:
                call()
            assert caught.value.temporary
            assert isinstance(caught.value.__cause__, sa.exc.SQLAlchemyError)
        server.start()
        storage.push("peer", Message(b"after", None))
        page = storage.get_page("peer", position, 10)
        assert [stored.message.data for stored in page] == [b"after"]
        assert texts(storage) == [b"before", b"after"]
        assert storage.recall("peer", 5) == []


def test_a_restart_between_two_calls_is_not_noticed(server: Server) -> None:
    with closing(Storage(server.url)) as storage:
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


def test_crashes_under_load_lose_nothing_and_keep_what_failed_out(server: Server) -> None:
    accepted: dict[int, list[bytes]] = {n: [] for n in range(4)}
    failed: set[bytes] = set()
    done = threading.Event()
    with closing(Storage(server.url)) as storage:

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


def test_a_batch_that_fails_in_the_middle_leaves_nothing(server: Server) -> None:
    with closing(Storage(server.url)) as storage:
        unstorable = Message(b"", None)
        unstorable.flags = 1 << 64
        with pytest.raises(StorageError) as caught:
            storage.push_many("peer", [Message(b"x" * 1000, None), unstorable])
        assert not caught.value.temporary
        assert storage.get_queues() == []
        storage.push("peer", Message(b"good", None))
        assert texts(storage) == [b"good"]


@pytest.mark.parametrize("number", [1, 3])
def test_a_push_whose_answer_was_lost_is_where_it_says(
    server: Server, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with closing(Storage(server.url)) as storage:
        insert = storage._insertion._insert

        def insert_and_lose_the_answer(connection: sa.Connection, rows: Any) -> None:
            monkeypatch.undo()
            insert(connection, rows)
            raise sa.exc.OperationalError("", {}, Exception("lost"), connection_invalidated=True)

        monkeypatch.setattr(storage._insertion, "_insert", insert_and_lose_the_answer)
        items = [Message(b"%d" % n, None) for n in range(number)]
        positions = list(storage.push_many("peer", items))
        page = storage.get_page("peer", None, 10)
        assert [stored.position for stored in page] == positions
        assert [stored.message.uuid for stored in page] == [item.uuid for item in items]


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_batch_of_any_size_is_kept_exactly(server: Server, size: int) -> None:
    """One statement, or more than one may have; with and without some that are there already."""
    ttls = [None, 0, 0.1, 60]
    data = bytes(range(256)) * (size // 256 + 1)
    items = [Message(data[:size] + b"%d" % n, ttls[n % 4], n * 0x1000000) for n in range(200)]
    with closing(Storage(server.url, clock=lambda: 0.0)) as storage:
        storage.push("peer", items[150])
        storage.push_many("peer", items)
        storage.push_many("other", items)
        for name, expected in (
            ("peer", [items[150], *items[:150], *items[151:]]),
            ("other", items),
        ):
            found = storage.get_items(name)
            for item in (*found, *expected):
                assert item.ttl is None or isinstance(item.ttl, float)
            assert [(i.uuid, i.ttl, i.flags, i.data) for i in found] == [
                (i.uuid, i.ttl, i.flags, i.data) for i in expected
            ]


def test_a_message_beyond_the_servers_packets_is_refused_and_harms_nobody(server: Server) -> None:
    if not isinstance(server, MariaDb):
        pytest.skip("PostgreSQL takes a gigabyte")
    with closing(Storage(server.url)) as storage:
        with pytest.raises(SnakeMQMessageTooLarge, match="max_allowed_packet"):
            storage.push_many("peer", [Message(b"", None), Message(bytes(33_545_000), None)])
        storage.push("peer", Message(bytes(33_540_000), None))
        assert [len(text) for text in texts(storage)] == [33_540_000]


def test_a_second_owner_is_refused_until_the_first_lets_go(server: Server) -> None:
    with closing(Storage(server.url)) as storage:
        for _ in range(2):
            with pytest.raises(StorageError, match="in use by another") as caught:
                Storage(server.url, owner_timeout=0)
            assert caught.value.temporary
        storage.push("peer", Message(b"1", None))
        with closing(Storage(server.url, "other_", owner_timeout=0)) as other:
            assert other.get_queues() == []
            other.drop_structures()
    with closing(Storage(server.url, owner_timeout=0)) as storage:
        assert texts(storage) == [b"1"]


def test_who_lost_the_server_may_find_another_owner(server: Server) -> None:
    with closing(Storage(server.url, owner_timeout=0)) as storage:
        storage.push("peer", Message(b"1", None))
        server.stop()
        server.start()
        with closing(Storage(server.url)) as other:
            with pytest.raises(StorageError, match="in use by another"):
                storage.push("peer", Message(b"lost", None))
            other.push("peer", Message(b"2", None))
        storage.push("peer", Message(b"3", None))
        assert texts(storage) == [b"1", b"2", b"3"]


def test_an_engine_of_the_users_is_left_open(server: Server) -> None:
    engine = sa.create_engine(server.url)
    with closing(Storage(engine)) as storage:
        storage.push("peer", Message(b"1", None))
    with closing(Storage(engine, owner_timeout=0)) as storage:
        assert texts(storage) == [b"1"]
    with engine.connect() as connection:
        query = sa.text("SELECT count(*) FROM snakemq_messages")
        assert connection.execute(query).scalar() == 1
    engine.dispose()


def test_dropped_structures_can_be_created_again(server: Server) -> None:
    with closing(Storage(server.url)) as storage:
        storage.push("peer", Message(b"1", None))
        storage.drop_structures()
        with pytest.raises(StorageError) as caught:
            storage.push("peer", Message(b"2", None))
        assert not caught.value.temporary
        storage.create_structures()
        storage.create_structures()
        storage.push("peer", Message(b"3", None))
        assert texts(storage) == [b"3"]


def test_a_newer_schema_is_refused(server: Server) -> None:
    Storage(server.url).close()
    engine = sa.create_engine(server.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE snakemq_state SET version = 99")
    with pytest.raises(StorageError, match="schema version 99") as caught:
        Storage(server.url)
    assert not caught.value.temporary
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE snakemq_state SET version = 1")
    engine.dispose()


def test_ttl_goes_on_where_it_was(server: Server, clock: Any) -> None:
    with closing(Storage(server.url, clock=clock)) as storage:
        storage.push("peer", Message(b"", 100))
        clock.now += 30
        assert storage.get_items("peer")[0].ttl == 70
    clock.now += 1000
    with closing(Storage(server.url, clock=clock)) as storage:
        assert storage.get_items("peer")[0].ttl == 70
        clock.now += 10
        server.stop()
        clock.now += 10
        server.start()
        assert storage.get_items("peer")[0].ttl == 50
        clock.now += 60
        assert storage.get_items("peer")[0].ttl == 0


FORK = """
import os, sys
from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
storage = SqlAlchemyQueuesStorage(sys.argv[1])
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
def test_a_forked_child_does_no_harm(server: Server, run_child: Callable[..., str]) -> None:
    run_child(FORK, server.url)
    with closing(Storage(server.url)) as storage:
        assert texts(storage) == [b"before", b"after"]


OWNER = """
import sys
from snakemq.message import Message
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
storage = SqlAlchemyQueuesStorage(sys.argv[1])
storage.push("peer", Message(b"from the child", None))
print("open", flush=True)
sys.stdin.readline()
"""


def test_a_killed_owner_blocks_nobody(server: Server, start_child: Any) -> None:
    with start_child(OWNER, server.url) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match="in use"):
            Storage(server.url, owner_timeout=0)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with closing(Storage(server.url)) as storage:
            assert texts(storage) == [b"from the child"]
