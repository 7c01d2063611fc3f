"""Tables of snakeMQ 1.6, rows that are not messages, and what the user has to provide."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
from tests.servers import MariaDb, PostgreSql, SqlServer
from tests.servers.fixtures import started

pytestmark = pytest.mark.server

Storage = SqlAlchemyQueuesStorage

# As snakemq/storage/sqla.py of snakemq 1.6.0 defines it.
V16_TABLE = sa.Table(
    "snakemq_items",
    sa.MetaData(),
    sa.Column("id_", sa.Integer, primary_key=True),
    sa.Column("queue_name", sa.String(50)),
    sa.Column("uuid", sa.String(32), unique=True),
    sa.Column("data", sa.LargeBinary),
    sa.Column("flags", sa.Integer),
    sa.Column("ttl", sa.Float),
)


@pytest.fixture(scope="module", params=["postgresql", "mariadb", "sqlite"])
def server(request: pytest.FixtureRequest) -> Iterator[SqlServer | None]:
    """A server; ``None`` for SQLite, which has none."""
    if request.param == "sqlite":
        yield None
    else:
        kinds: dict[str, type[SqlServer]] = {"postgresql": PostgreSql, "mariadb": MariaDb}
        with started(kinds[request.param]) as server:
            yield server


@pytest.fixture
def url(server: SqlServer | None, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if server is None:
        return f"sqlite:///{tmp_path}/queues.db"
    server.use_new_database()
    return server.url


def uuid(n: int) -> bytes:
    """Return uuids that descend, so an order by uuid does not pass for the order of the rows."""
    return (0xFFFF - n).to_bytes(16, "big")


def row(n: int, **changes: Any) -> dict[str, Any]:
    columns = {"queue_name": "peer", "uuid": uuid(n).hex(), "data": b"%d" % n}
    return columns | {"flags": 1, "ttl": None} | changes


def write_v16(url: str, rows: list[dict[str, Any]]) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        V16_TABLE.create(connection)
        connection.execute(sa.insert(V16_TABLE), rows)
    engine.dispose()


# As snakemq-storage-sql 2.0.0 defines them. Never change them: there are such tables.
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
NAME = sa.LargeBinary().with_variant(mysql.VARBINARY(1024), "mysql", "mariadb")
UUID = sa.LargeBinary().with_variant(mysql.VARBINARY(16), "mysql", "mariadb")
VERSION_1 = sa.MetaData()
MESSAGES_1 = sa.Table(
    "snakemq_messages",
    VERSION_1,
    sa.Column("seq", sa.BigInteger(), nullable=False),
    sa.Column("queue_name", NAME, nullable=False),
    sa.Column("uuid", UUID, nullable=False),
    sa.Column("ttl", sa.Double()),
    sa.Column("stored_at", sa.Double(), nullable=False),
    sa.Column("flags", sa.BigInteger(), nullable=False),
    sa.Column("data", BYTES, nullable=False),
    sa.PrimaryKeyConstraint("queue_name", "seq"),
    sa.UniqueConstraint("uuid", "queue_name", name="snakemq_messages_by_uuid"),
)
INBOX_1 = sa.Table(
    "snakemq_inbox",
    VERSION_1,
    sa.Column("ident", NAME, primary_key=True),
    sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("uuid", UUID, nullable=False),
)
SET_ASIDE_1 = sa.Table(
    "snakemq_set_aside",
    VERSION_1,
    sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("queue_name", BYTES),
    sa.Column("uuid", BYTES),
    sa.Column("ttl", sa.Double()),
    sa.Column("stored_at", sa.Double()),
    sa.Column("flags", sa.BigInteger()),
    sa.Column("data", BYTES),
)
STATE_1 = sa.Table(
    "snakemq_state",
    VERSION_1,
    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer(), nullable=False),
    sa.Column("seconds", sa.Double(), nullable=False),
    sa.Column("v16_taken", sa.Integer(), nullable=False),
)


def write_version_1(url: str) -> None:
    """Three messages, of which the second one cannot be read, and an inbox."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        VERSION_1.create_all(connection)
        same = {"queue_name": b"bob", "stored_at": 90.0, "data": b"\0\xff"}
        rows = [
            same | {"seq": seq, "uuid": uuid(seq), "ttl": ttl, "flags": flags}
            for seq, ttl, flags in ((3, 60.0, 1), (5, None, -1), (9, None, 0xFFFFFFFF))
        ]
        connection.execute(sa.insert(MESSAGES_1), rows)
        connection.execute(sa.insert(INBOX_1), {"ident": b"alice", "seq": 1, "uuid": uuid(1)})
        state = {"id": 1, "version": 1, "seconds": 100.0, "v16_taken": 0}
        connection.execute(sa.insert(STATE_1), state)
    engine.dispose()


def execute(url: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def query(url: str, statement: str) -> list[Any]:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(found) for found in result] if result.returns_rows else []
    finally:
        engine.dispose()


def contents(storage: Storage, queue_name: str = "peer") -> list[tuple[Any, ...]]:
    return [(i.uuid, i.data, i.ttl, i.flags) for i in storage.get_items(queue_name)]


def test_a_table_of_1_6_is_taken_over_in_order_and_kept_as_a_backup(url: str, clock: Any) -> None:
    rows = [row(n, ttl=60.5 if n % 2 else None, data=bytes([n % 256]) * n) for n in range(450)]
    rows.append(row(1000, queue_name="Jos\u00e9", ttl=-3.0, flags=0x7FFFFFFF))
    write_v16(url, rows)
    expected = [(uuid(n), bytes([n % 256]) * n, 60.5 if n % 2 else None, 1) for n in range(450)]
    for _ in range(2):
        with closing(Storage(url, clock=clock)) as storage:
            assert contents(storage) == expected
            assert contents(storage, "Jos\u00e9") == [(uuid(1000), b"1000", 0.0, 0x7FFFFFFF)]
            assert sorted(storage.get_queues()) == ["Jos\u00e9", "peer"]
    assert query(url, "SELECT count(*) FROM snakemq_items_v16_backup") == [(451,)]


def test_a_table_that_1_6_writes_later_goes_to_the_end(url: str) -> None:
    write_v16(url, [row(1)])
    with closing(Storage(url)) as storage:
        storage.push("peer", Message(b"ours", None))
    write_v16(url, [row(1, data=b"again"), row(2)])
    with closing(Storage(url)) as storage:
        assert [item.data for item in storage.get_items("peer")] == [b"1", b"ours", b"2"]
    assert query(url, "SELECT count(*) FROM snakemq_items_v16_backup_2") == [(2,)]


@pytest.mark.parametrize("step", ["copied", "renamed"])
def test_an_interrupted_takeover_goes_on(url: str, step: str) -> None:
    write_v16(url, [row(1), row(2)])
    with closing(Storage(url)) as storage:
        storage.delete("peer", storage.get_items("peer")[:1])
    query(url, "UPDATE snakemq_state SET v16_taken = 1")
    if step == "copied":
        query(url, "ALTER TABLE snakemq_items_v16_backup RENAME TO snakemq_items")
    with closing(Storage(url)) as storage:
        assert [item.uuid for item in storage.get_items("peer")] == [uuid(2)]
    assert query(url, "SELECT count(*) FROM snakemq_items_v16_backup") == [(2,)]
    assert query(url, "SELECT v16_taken FROM snakemq_state") == [(0,)]


def test_a_row_of_1_6_that_is_not_a_message_is_set_aside(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [row(2, uuid="no hexadecimal"), row(3, queue_name=None), row(4, data=None)]
    write_v16(url, [row(1), *bad, row(5)])
    with closing(Storage(url)) as storage:
        assert [item.uuid for item in storage.get_items("peer")] == [uuid(1), uuid(5)]
    assert query(url, "SELECT count(*) FROM snakemq_set_aside") == [(3,)]
    reports = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert {record.name for record in reports} == {"snakemq.storage.sqla"}
    assert len(reports) == 3


def test_another_table_of_that_name_is_left_alone(url: str) -> None:
    query(url, "CREATE TABLE snakemq_items (something INTEGER)")
    Storage(url).close()
    assert query(url, "SELECT count(*) FROM snakemq_items") == [(0,)]


DAMAGE = {
    "a short uuid": lambda m: {"uuid": b"short"},
    "negative flags": lambda m: {"flags": -1},
    "flags too large": lambda m: {"flags": 1 << 32},
    "a ttl too long": lambda m: {"ttl": 1e300},
    "a queue name that is not UTF-8": lambda m: {"queue_name": b"\xff\xfe"},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_row_is_set_aside_and_holds_up_no_other(
    url: str, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Storage(url)) as storage:
        storage.push_many("peer", [Message(b"%d" % n, None) for n in range(3)])
        messages = storage._database.tables.messages
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        statement = sa.update(messages).where(messages.c.seq == 2)
        connection.execute(statement.values(**damage(messages)))
    engine.dispose()
    for _ in range(2):
        with closing(Storage(url)) as storage:
            assert storage.get_queues() == ["peer"]
            page = storage.get_page("peer", 1, 1)
            assert [stored.message.data for stored in page] == [b"2"]
            assert [item.data for item in storage.get_items("peer")] == [b"0", b"2"]
    reports = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(reports) == 1
    assert query(url, "SELECT seq FROM snakemq_set_aside") == [(2,)]


def test_other_databases_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match="not oracle"):
        Storage("oracle://localhost/x")
    with closing(Storage("sqlite://")) as storage:
        with pytest.raises(ValueError, match="1024 bytes"):
            storage.push("x" * 1025, Message(b"", None))
        with pytest.raises(ValueError, match="surrogates"):
            storage.push("\ud800", Message(b"", None))


def test_a_missing_server_is_a_temporary_failure() -> None:
    with pytest.raises(StorageError) as caught:
        Storage("mysql+pymysql://root@127.0.0.1:1/x")
    assert caught.value.temporary
    assert "root@127.0.0.1:1" in str(caught.value)


def test_a_wrong_password_is_permanent_and_is_not_shown() -> None:
    with started(MariaDb) as server, pytest.raises(StorageError) as caught:
        Storage(server.url.replace("root@", "root:topsecret@"))
    assert not caught.value.temporary
    assert "topsecret" not in str(caught.value)


def test_the_sqlite_storage_needs_no_sqlalchemy() -> None:
    code = "import sys, snakemq.storage.sqlite; assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_sqlalchemy_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None; import snakemq.storage.sqla"
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "pip install 'snakemq-storage-sql[postgresql]'" in process.stderr


HEADERS = {"content-type": "text/plain"}


def test_tables_of_2_0_are_brought_up_to_date_where_they_are(url: str) -> None:
    write_version_1(url)
    with closing(Storage(url, clock=lambda: 5.0)) as storage:
        first, last = storage.get_items("bob")
        assert (first.uuid, first.data, first.ttl, first.flags) == (uuid(3), b"\0\xff", 50.0, 1)
        assert (last.uuid, last.data, last.ttl) == (uuid(9), b"\0\xff", None)
        assert last.flags == 0xFFFFFFFF
        assert first.headers == last.headers == {}
        assert storage.recall("alice", 10) == [uuid(1)]
        storage.push("bob", Message(b"new", None, headers=HEADERS))
        storage.push_many("bob", [Message(b"", None, headers=HEADERS), Message(b"", None)])
    with closing(Storage(url)) as storage:
        assert [m.headers for m in storage.get_items("bob")] == [{}, {}, HEADERS, HEADERS, {}]
    assert query(url, "SELECT version FROM snakemq_state") == [(2,)]
    assert query(url, "SELECT seq, headers FROM snakemq_set_aside") == [(5, None)]


@pytest.mark.parametrize("done", ["nothing", "messages", "both"])
def test_a_migration_that_was_interrupted_goes_on(url: str, done: str) -> None:
    write_version_1(url)
    kind = "BYTEA" if url.startswith("postgresql") else "BLOB"
    for name in {"nothing": [], "messages": ["messages"], "both": ["messages", "set_aside"]}[done]:
        execute(url, f"ALTER TABLE snakemq_{name} ADD COLUMN headers {kind}")
    with closing(Storage(url)) as storage:
        storage.push("bob", Message(b"new", None, headers=HEADERS))
        assert [item.headers for item in storage.get_items("bob")] == [{}, {}, HEADERS]


def test_tables_can_be_made_those_of_2_0_again(url: str) -> None:
    """These are the statements that storages.md tells."""
    with closing(Storage(url)) as storage:
        storage.push("bob", Message(b"data", None, headers=HEADERS))
    execute(url, "ALTER TABLE snakemq_messages DROP COLUMN headers")
    execute(url, "ALTER TABLE snakemq_set_aside DROP COLUMN headers")
    execute(url, "UPDATE snakemq_state SET version = 1")
    engine = sa.create_engine(url)
    inspector = sa.inspect(engine)
    for table in VERSION_1.sorted_tables:
        assert [c["name"] for c in inspector.get_columns(table.name)] == table.columns.keys()
    engine.dispose()
    with closing(Storage(url)) as storage:
        assert [(item.data, item.headers) for item in storage.get_items("bob")] == [(b"data", {})]


@pytest.mark.parametrize("broken", ["0161", "01410000", "ff"])
def test_headers_that_cannot_be_read_are_set_aside(url: str, broken: str) -> None:
    with closing(Storage(url)) as storage:
        storage.push_many("bob", [Message(b"%d" % n, None, headers=HEADERS) for n in range(3)])
    value = f"'\\x{broken}'" if url.startswith("postgresql") else f"x'{broken}'"
    execute(url, f"UPDATE snakemq_messages SET headers = {value} WHERE seq = 2")
    with closing(Storage(url)) as storage:
        assert [item.data for item in storage.get_items("bob")] == [b"0", b"2"]
    ((found,),) = query(url, "SELECT headers FROM snakemq_set_aside")
    assert bytes(found) == bytes.fromhex(broken)
