"""Servers that are started once, and stacks that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from snakemq.messaging._outgoing._queue import _queue
from snakemq.messaging._outgoing._stored import _pages
from tests.servers import MariaDb, MongoDb, PostgreSql, Server
from tests.servers.fixtures import started
from tests.support.running_stack import Stack

from .stores import Durable, SqliteFile, Store, store_on

SERVERS = (PostgreSql, MariaDb, MongoDb)


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let most messages be in the storage only."""
    monkeypatch.setattr(_queue, "MAX_MESSAGES_IN_MEMORY", 20)
    monkeypatch.setattr(_pages, "PAGE_MESSAGES", 10)


@pytest.fixture(scope="package")
def servers() -> Iterator[Callable[[type[Server]], Server]]:
    """Start each server when a test first asks for it."""
    running: dict[type[Server], Server] = {}
    with ExitStack() as stack:

        def get(kind: type[Server]) -> Server:
            server = running.get(kind)
            if server is None:
                server = running[kind] = stack.enter_context(started(kind))
            if server.process is None or server.process.poll() is not None:
                server.start()  # the last test left it stopped
            return server

        yield get


@pytest.fixture(params=SERVERS, ids=lambda kind: str(kind.name))
def server(request: pytest.FixtureRequest, servers: Callable[[type[Server]], Server]) -> Server:
    return servers(request.param)


@pytest.fixture(params=["sqlite", *SERVERS], ids=lambda kind: getattr(kind, "name", kind))
def store(
    request: pytest.FixtureRequest, servers: Callable[[type[Server]], Server], tmp_path: Path
) -> Store:
    if request.param == "sqlite":
        return SqliteFile(tmp_path / "queue.db")
    return store_on(servers(request.param))


@pytest.fixture
def durable() -> Iterator[Callable[[str, Store], Durable]]:
    """Makes stacks with a storage, and closes them."""
    with ExitStack() as stack:

        def make(ident: str, store: Store) -> Durable:
            durable = Durable(ident, store.open())
            stack.callback(durable.close)
            return durable

        yield make


@pytest.fixture
def make_stack() -> Iterator[Callable[[str], Stack]]:
    with ExitStack() as stack:

        def make(ident: str) -> Stack:
            made = Stack(ident)
            stack.callback(made.close)
            return made

        yield make
