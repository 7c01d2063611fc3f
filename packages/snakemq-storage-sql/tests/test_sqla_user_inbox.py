"""The inbox in the user's own database, through SQLAlchemy, on each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from snakemq.exceptions import LoopError, StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import ForgetfulInbox, TransactionalInbox
from snakemq.storage.sqla import SqlAlchemyInbox
from tests.servers import MariaDb, PostgreSql, SqlServer
from tests.servers.fixtures import started

pytestmark = pytest.mark.server

UUIDS = [b"%016d" % number for number in range(100)]


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "rows"

    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[str] = mapped_column(sa.String(100))


@pytest.fixture(scope="module", params=[None, PostgreSql, MariaDb], ids=["sqlite", "pg", "maria"])
def any_server(request: pytest.FixtureRequest) -> Iterator[SqlServer | None]:
    if request.param is None:
        yield None
    else:
        with started(request.param) as server:
            yield server


@pytest.fixture
def engine(any_server: SqlServer | None, tmp_path: Path) -> Iterator[sa.Engine]:
    """An engine of an empty database."""
    url = f"sqlite:///{tmp_path}/rows.db"
    if any_server is not None:
        any_server.use_new_database()
        url = any_server.url
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def factory(engine: sa.Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)


@pytest.fixture
def inbox(factory: sessionmaker[Session]) -> SqlAlchemyInbox:
    return SqlAlchemyInbox(factory)


@pytest.fixture
def committed(factory: sessionmaker[Session]) -> Callable[[], list[str]]:
    """The rows that everybody sees."""

    def read() -> list[str]:
        with factory() as session:
            return list(session.scalars(sa.select(Row.data).order_by(Row.id)))

    return read


Committed = Callable[[], list[str]]


def process(inbox: SqlAlchemyInbox, number: int, ident: str = "alice") -> None:
    inbox.begin()
    inbox.session.add(Row(data=str(number)))
    inbox.keep(ident, UUIDS[number])


# -- what it keeps


def test_it_is_a_transactional_and_forgetful_inbox(inbox: SqlAlchemyInbox) -> None:
    assert isinstance(inbox, TransactionalInbox)
    assert isinstance(inbox, ForgetfulInbox)
    assert inbox.blocks is False


def test_uuids_are_recalled_in_order_by_the_next_inbox(
    inbox: SqlAlchemyInbox, factory: sessionmaker[Session]
) -> None:
    inbox.remember("alice", UUIDS[:3], 10)
    inbox.remember("alice", UUIDS[3:5], 10)
    inbox.remember("příjemce", UUIDS[7:8], 10)
    again = SqlAlchemyInbox(factory)
    assert again.recall("alice", 4) == UUIDS[1:5]
    assert again.recall("příjemce", 4) == UUIDS[7:8]
    assert again.remembered() == {"alice": 5, "příjemce": 1}
    assert SqlAlchemyInbox(factory, table="other").remembered() == {}


def test_only_the_last_uuids_are_kept(inbox: SqlAlchemyInbox) -> None:
    for begin in range(0, 100, 5):
        inbox.remember("alice", UUIDS[begin : begin + 5], 10)
    assert inbox.recall("alice", 1000) == UUIDS[-10:]


def test_peers_are_forgotten(inbox: SqlAlchemyInbox) -> None:
    inbox.remember("alice", UUIDS[:3], 10)
    inbox.remember("bob", UUIDS[:3], 10)
    inbox.forget(["alice", "nobody"])
    assert inbox.remembered() == {"bob": 3}


# -- the transaction


def test_rows_and_record_become_visible_together(
    inbox: SqlAlchemyInbox, committed: Committed
) -> None:
    process(inbox, 1)
    process(inbox, 2, "bob")
    inbox.begin()
    inbox.session.add(Row(data="3"))
    inbox.session.flush()
    inbox.undo()
    assert committed() == []
    inbox.remember("alice", [UUIDS[9]], 10)
    assert committed() == ["1", "2"]
    assert inbox.recall("alice", 10) == [UUIDS[1], UUIDS[9]]
    assert inbox.recall("bob", 10) == [UUIDS[2]]


def test_commit_and_rollback_of_a_callback_concern_its_message_only(
    inbox: SqlAlchemyInbox, committed: Committed
) -> None:
    process(inbox, 1)
    inbox.begin()
    inbox.session.add(Row(data="2"))
    inbox.session.commit()
    inbox.session.add(Row(data="3"))
    inbox.session.rollback()
    inbox.session.add(Row(data="4"))
    assert committed() == []
    inbox.keep("alice", UUIDS[2])
    inbox.begin()
    inbox.session.add(Row(data="5"))
    inbox.session.commit()
    inbox.undo()  # it has raised after that
    inbox.remember("alice", [], 10)
    assert committed() == ["1", "2", "4"]
    assert inbox.recall("alice", 10) == UUIDS[1:3]


def test_message_without_a_session_is_recorded(
    inbox: SqlAlchemyInbox, committed: Committed
) -> None:
    inbox.begin()
    inbox.keep("alice", UUIDS[1])
    inbox.begin()
    inbox.undo()
    inbox.remember("alice", [], 10)
    assert committed() == []
    assert inbox.recall("alice", 10) == [UUIDS[1]]


def test_there_is_a_session_only_while_a_message_is_processed(inbox: SqlAlchemyInbox) -> None:
    with pytest.raises(LoopError, match="no message is being processed"):
        _ = inbox.session
    inbox.begin()
    assert inbox.session is inbox.session
    inbox.keep("alice", UUIDS[1])
    with pytest.raises(LoopError, match="no message is being processed"):
        _ = inbox.session
    inbox.remember("alice", [], 10)


def test_peers_forgotten_while_a_callback_writes_go_with_its_commit(
    inbox: SqlAlchemyInbox,
) -> None:
    inbox.remember("bob", UUIDS[:1], 10)
    inbox.begin()
    inbox.forget(["bob"])
    assert inbox.recall("bob", 10) == []
    inbox.keep("alice", UUIDS[1])
    inbox.remember("alice", [], 10)
    assert inbox.remembered() == {"alice": 1}


# -- failures


def test_rows_that_are_refused_at_the_end_concern_their_message_only(
    inbox: SqlAlchemyInbox, committed: Committed
) -> None:
    process(inbox, 1)
    inbox.begin()
    inbox.session.add(Row(data=None))
    with pytest.raises(sa.exc.DBAPIError, match=r"(?i)null"):
        inbox.keep("alice", UUIDS[2])
    inbox.remember("alice", [], 10)
    assert committed() == ["1"]
    assert inbox.recall("alice", 10) == [UUIDS[1]]


def test_a_connection_that_is_lost_fails_the_transaction(
    inbox: SqlAlchemyInbox, committed: Committed, engine: sa.Engine
) -> None:
    process(inbox, 1)
    inbox.begin()
    inbox.session.add(Row(data="2"))
    driver = inbox.session.connection().connection.dbapi_connection
    assert driver is not None
    driver.close()
    with pytest.raises(StorageError):
        inbox.keep("alice", UUIDS[2])
    engine.dispose()
    assert committed() == []
    process(inbox, 1)
    inbox.remember("alice", [], 10)
    assert committed() == ["1"]


def test_a_commit_that_fails_rolls_back_rows_and_record(
    inbox: SqlAlchemyInbox, engine: sa.Engine, committed: Committed
) -> None:
    process(inbox, 1)

    def fail(connection: sa.Connection) -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("the server has gone"))

    sa.event.listen(engine, "commit", fail)
    with pytest.raises(StorageError, match="the server has gone") as failure:
        inbox.remember("alice", [], 10)
    assert failure.value.temporary
    sa.event.remove(engine, "commit", fail)
    assert committed() == []
    assert inbox.recall("alice", 10) == []
    process(inbox, 1)
    inbox.remember("alice", [], 10)
    assert committed() == ["1"]


def test_nothing_is_committed_while_a_callback_writes(inbox: SqlAlchemyInbox) -> None:
    inbox.begin()
    with pytest.raises(StorageError, match="while a callback writes"):
        inbox.remember("alice", UUIDS[:1], 10)
    inbox.undo()
    inbox.remember("alice", UUIDS[:1], 10)
    assert inbox.recall("alice", 10) == UUIDS[:1]


def test_connections_are_given_back(inbox: SqlAlchemyInbox, engine: sa.Engine) -> None:
    process(inbox, 1)
    inbox.remember("alice", [], 10)
    inbox.begin()
    inbox.session.add(Row(data=None))
    with pytest.raises(sa.exc.DBAPIError):
        inbox.keep("alice", UUIDS[2])
    inbox.remember("alice", [], 10)
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedout() == 0


def test_wrong_arguments_are_refused(factory: sessionmaker[Session], engine: sa.Engine) -> None:
    with pytest.raises(TypeError, match="must be a sessionmaker"):
        SqlAlchemyInbox(engine)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="bound to an engine"), engine.connect() as connection:
        SqlAlchemyInbox(sessionmaker(connection))
    with pytest.raises(StorageError, match="not bound"):
        SqlAlchemyInbox(sessionmaker())
    with pytest.raises(TypeError, match="table must be "):
        SqlAlchemyInbox(factory, table=None)  # type: ignore[arg-type]


# -- below messaging


def test_each_message_has_one_row_though_callbacks_raise(
    inbox: SqlAlchemyInbox, committed: Committed
) -> None:
    network = MemoryNetwork()
    alice, bob = network.link("alice"), network.link("bob")
    sender = Messaging("alice", "", Packeter(alice))
    receiver = Messaging("bob", "", Packeter(bob), inbox=inbox, retry_delay=0.5)
    delivered: list[bytes] = []
    sender.on_message_delivered.add(lambda _conn_id, _ident, uuid: delivered.append(uuid))

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        inbox.session.add(Row(data=message.data.decode()))
        if message.data.endswith(b"3"):
            inbox.session.commit()
        if message.attempts == 1 and message.data.endswith((b"3", b"7")):
            raise RuntimeError("it is a bad day")

    receiver.on_message_recv.add(on_message_recv)
    for number in range(20):
        sender.send_message("bob", Message(b"%d" % number, ttl=None))
    network.connect(alice, bob)
    network.run_until_idle()
    assert len(committed()) == 16
    network.clock.advance(1.0)
    network.run_until_idle()
    assert sorted(committed(), key=int) == [str(number) for number in range(20)]
    assert len(delivered) == 20
