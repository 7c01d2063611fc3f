"""Storages of each kind, and ways to damage them behind snakeMQ's back."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymongo
import sqlalchemy as sa

from snakemq.message import Message
from snakemq.queues import InboxStorage, QueuesStorageBase, open_storage
from tests.servers import MariaDb, MongoDb, PostgreSql, Server
from tests.support.running_stack import Stack

BAD_FLAGS = -1
"""Flags that no message has."""


class Store(ABC):
    """The place of a storage, a new one for each test."""

    def open(self) -> QueuesStorageBase:
        return open_storage(self.url, **self.options)

    url: str
    options: dict[str, Any]

    @abstractmethod
    def damage(self, data: bytes) -> None:
        """Write nonsense into the message with that data."""


class SqliteFile(Store):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.options = {}

    def damage(self, data: bytes) -> None:
        """Write nonsense into that message. The storage must be closed, or the file is locked."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            statement = "UPDATE messages SET flags = ? WHERE data = ?"
            assert connection.execute(statement, (BAD_FLAGS, data)).rowcount == 1


class SqlTables(Store):
    def __init__(self, server: PostgreSql | MariaDb) -> None:
        self.url = server.url
        self.prefix = f"test_{uuid4().hex[:8]}_"
        self.options = {"table_prefix": self.prefix}

    def damage(self, data: bytes) -> None:
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        statement = sa.text(f"UPDATE {self.prefix}messages SET flags = :flags WHERE data = :data")
        with engine.begin() as connection:
            values = {"flags": BAD_FLAGS, "data": data}
            assert connection.execute(statement, values).rowcount == 1


class Documents(Store):
    def __init__(self, server: MongoDb) -> None:
        self.url = server.url
        self.collection = f"test_{uuid4().hex[:8]}"
        # The default is a second; the tests would spend most of their time waiting for it.
        self.options = {"collection": self.collection, "serverSelectionTimeoutMS": 100}

    def damage(self, data: bytes) -> None:
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            messages = client["snakemq"][f"{self.collection}.messages"]
            change = {"$set": {"flags": BAD_FLAGS}}
            assert messages.update_one({"data": data}, change).modified_count == 1


def store_on(server: Server) -> Store:
    if isinstance(server, MongoDb):
        return Documents(server)
    assert isinstance(server, PostgreSql | MariaDb)
    return SqlTables(server)


class Durable(Stack):
    """A stack with a storage."""

    def __init__(
        self, ident: str, storage: QueuesStorageBase, inbox: InboxStorage | None = None
    ) -> None:
        super().__init__(ident, storage=storage, inbox=inbox)
        self.storage = storage
        self.delivered: list[str] = []
        """The receivers of delivered messages."""
        self.messaging.on_message_delivered.add(self._on_message_delivered)

    def _on_message_delivered(self, conn_id: str, ident: str, uuid: bytes) -> None:
        self.write(self.delivered, ident)

    def left(self, delivered: int, to: str = "bob") -> list[bytes]:
        """Return what is in the storage once a peer has acknowledged this many messages."""
        self.until(lambda: self.delivered.count(to) >= delivered)
        return self.in_loop(self._left)

    def _left(self) -> list[bytes]:
        self.messaging.close()  # deletions are collected for a moment; this does them now
        return [m.data for name in self.storage.get_queues() for m in self.storage.get_items(name)]

    def close(self) -> None:
        super().close()
        self.storage.close()


def persistent(*texts: bytes) -> list[Message]:
    return [Message(text, None, 1) for text in texts]


def numbers(count: int, begin: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(begin, begin + count)]


def heard(stack: Stack) -> list[bytes]:
    return [received.data for received in stack.received]


MakeStack = Callable[..., Stack]
