"""A set of three servers whose primary goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from tests.servers import MongoDb
from tests.servers.checks import Place, Senders
from tests.servers.fixtures import started

pytestmark = pytest.mark.server

NAME = "rs0"


class ReplicaSet:
    """A set of three servers, with short time-outs so that elections are quick."""

    def __init__(self, servers: list[MongoDb]) -> None:
        self.servers = servers
        members: list[dict[str, Any]] = [
            {"_id": n, "host": f"127.0.0.1:{server.port}"} for n, server in enumerate(servers)
        ]
        settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
        config = {"_id": NAME, "members": members, "settings": settings}
        with pymongo.MongoClient[Any](servers[0].url) as client:
            client.admin.command("replSetInitiate", config)
        self.url = f"mongodb://{','.join(member['host'] for member in members)}/?replicaSet={NAME}"

    def primary(self) -> MongoDb:
        """Wait until there is a primary, and return it."""
        with pymongo.MongoClient[Any](self.url) as client:
            while True:
                client.admin.command("hello")
                if client.primary is not None:
                    (primary,) = (s for s in self.servers if s.port == client.primary[1])
                    return primary

    def step_down(self) -> None:
        with pymongo.MongoClient[Any](self.primary().url) as client:
            try:
                client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=4)
            except AutoReconnect:
                pass
            except OperationFailure as error:
                # No secondary was up to date, or this was no longer the primary.
                if error.code not in (50, 189, 262):
                    raise


@pytest.fixture(scope="module")
def replica_set() -> Iterator[ReplicaSet]:
    with ExitStack() as stack:
        servers = []
        for _ in range(3):
            server = stack.enter_context(started(partial(MongoDb, replica_set=NAME)))
            assert isinstance(server, MongoDb)
            servers.append(server)
        yield ReplicaSet(servers)
        for server in servers:
            server.crash()  # a server that is asked to stop waits for the others


def kill(replica_set: ReplicaSet) -> None:
    primary = replica_set.primary()
    primary.crash()
    replica_set.primary()
    primary.start()


@pytest.mark.parametrize("happens", [ReplicaSet.step_down, kill], ids=["step down", "kill"])
def test_nothing_that_was_accepted_is_lost_with_the_primary(
    replica_set: ReplicaSet, happens: Callable[[ReplicaSet], None]
) -> None:
    place = Place(replica_set.primary(), {"collection": uuid4().hex}, {}, replica_set.url)
    with closing(place.open()) as storage:
        senders = Senders(storage)
        with senders.at_work():
            for _ in range(2):
                senders.wait_for_more(10)
                happens(replica_set)
            senders.wait_for_more(5)
        senders.check()
    with closing(place.open()) as storage:
        assert storage.count("peer") == sum(map(len, senders.accepted.values()))
