"""What happens to the server, and who owns a storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from snakemq.exceptions import SnakeMQMessageTooLarge, StorageError
from snakemq.message import Message
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
from tests.servers import MariaDb, PostgreSql, SqlServer
from tests.servers.checks import (
    SERVER_CHECKS,
    Check,
    Place,
    a_full_disk_costs_nothing_that_was_accepted,
    texts,
)
from tests.servers.fixtures import small_disk, started, started_on

pytestmark = pytest.mark.server

Storage = SqlAlchemyQueuesStorage


@pytest.fixture(scope="module", params=[PostgreSql, MariaDb], ids=lambda kind: kind.name)
def any_server(request: pytest.FixtureRequest) -> Iterator[SqlServer]:
    with started(request.param) as server:
        yield server


@pytest.fixture
def server(any_server: SqlServer) -> SqlServer:
    """A server whose URL names an empty database."""
    if any_server.process is None or any_server.process.poll() is not None:
        any_server.start()
    any_server.use_new_database()
    return any_server


@pytest.mark.parametrize("check", SERVER_CHECKS, ids=lambda check: check.__name__)
def test_server(check: Check, server: SqlServer) -> None:
    check(Place(server, {"table_prefix": "checks_"}, {"answer_timeout": 0.5}))


@pytest.mark.parametrize("kind", [PostgreSql, MariaDb], ids=lambda kind: kind.name)
def test_a_full_disk(kind: type[SqlServer]) -> None:
    with small_disk() as disk, started_on(disk, kind) as server:
        place = Place(server, {}, {"answer_timeout": 0.5})
        a_full_disk_costs_nothing_that_was_accepted(place, disk.fill, disk.free)


def test_different_prefixes_are_different_storages(server: SqlServer) -> None:
    with closing(Storage(server.url)) as storage:
        storage.push("peer", Message(b"1", None))
        with closing(Storage(server.url, "other_", owner_timeout=0)) as other:
            assert other.get_queues() == []
            other.drop_structures()
        assert texts(storage) == [b"1"]


@pytest.mark.parametrize("number", [1, 3])
def test_a_push_whose_answer_was_lost_is_at_the_position_it_returned(
    server: SqlServer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with closing(Storage(server.url)) as storage:
        insert = storage._database.insertion._insert

        def insert_and_lose_the_answer(connection: sa.Connection, rows: Any) -> None:
            monkeypatch.undo()
            insert(connection, rows)
            raise sa.exc.OperationalError("", {}, Exception("lost"), connection_invalidated=True)

        monkeypatch.setattr(storage._database.insertion, "_insert", insert_and_lose_the_answer)
        items = [Message(b"%d" % n, None) for n in range(number)]
        positions = list(storage.push_many("peer", items))
        page = storage.get_page("peer", None, 10)
        assert [stored.position for stored in page] == positions
        assert [stored.message.uuid for stored in page] == [item.uuid for item in items]


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_batch_of_any_size_is_kept_exactly(server: SqlServer, size: int) -> None:
    """It fits into one statement or not, and some of its messages are already there or not."""
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


def test_a_message_too_large_for_a_packet_is_refused_without_harm(server: SqlServer) -> None:
    if not isinstance(server, MariaDb):
        pytest.skip("PostgreSQL takes a gigabyte")
    with closing(Storage(server.url)) as storage:
        with pytest.raises(SnakeMQMessageTooLarge, match="max_allowed_packet"):
            storage.push_many("peer", [Message(b"", None), Message(bytes(33_545_000), None)])
        storage.push("peer", Message(bytes(33_540_000), None))
        assert [len(text) for text in texts(storage)] == [33_540_000]


def test_another_owner_may_come_while_the_server_is_lost(server: SqlServer) -> None:
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


def test_the_users_engine_is_left_open(server: SqlServer) -> None:
    engine = sa.create_engine(server.url)
    with closing(Storage(engine)) as storage:
        storage.push("peer", Message(b"1", None))
    with closing(Storage(engine, owner_timeout=0)) as storage:
        assert texts(storage) == [b"1"]
    with engine.connect() as connection:
        query = sa.text("SELECT count(*) FROM snakemq_messages")
        assert connection.execute(query).scalar() == 1
    engine.dispose()


def test_dropped_structures_can_be_created_again(server: SqlServer) -> None:
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


def test_a_newer_schema_is_refused(server: SqlServer) -> None:
    Storage(server.url).close()
    engine = sa.create_engine(server.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE snakemq_state SET version = 99")
    with pytest.raises(StorageError, match="schema version 99") as caught:
        Storage(server.url)
    assert not caught.value.temporary
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE snakemq_state SET version = 2")
    engine.dispose()
