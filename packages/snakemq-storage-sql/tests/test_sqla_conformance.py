"""The SQLAlchemy storage keeps the contract on each database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from snakemq.queues.testing import (
    DURABILITY_CHECKS,
    INBOX_CHECKS,
    STORAGE_CHECKS,
    Check,
    OpenFrom,
)
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
from tests.servers import MariaDb, PostgreSql, Server
from tests.servers.fixtures import started

pytestmark = pytest.mark.server

CHECKS = STORAGE_CHECKS + DURABILITY_CHECKS + INBOX_CHECKS


@pytest.fixture(scope="module", params=[PostgreSql, MariaDb], ids=lambda kind: kind.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with started(request.param) as server:
        yield server


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_server(check: Check, server: Server) -> None:
    check(OpenFrom(partial(SqlAlchemyQueuesStorage, server.url), "{token}_"))


@pytest.mark.parametrize("check", STORAGE_CHECKS + INBOX_CHECKS, ids=lambda c: c.__name__)
def test_sqlite(check: Check, tmp_path: Path) -> None:
    check(OpenFrom(SqlAlchemyQueuesStorage, f"sqlite:///{tmp_path}/{{token}}.db"))
