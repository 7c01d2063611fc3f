from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import MongoDb
from tests.servers.fixtures import started


@pytest.fixture(scope="session")
def mongod() -> Iterator[MongoDb]:
    with started(MongoDb) as server:
        yield server


@pytest.fixture
def server(mongod: MongoDb) -> MongoDb:
    """Running, whatever the last test has done to it."""
    if mongod.process is None or mongod.process.poll() is not None:
        mongod.start()
    return mongod
