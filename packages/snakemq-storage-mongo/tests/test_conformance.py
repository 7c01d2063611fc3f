"""The MongoDB storage keeps the contract that all storages keep."""

from __future__ import annotations

from functools import partial

import pytest

from snakemq.queues.testing import (
    DURABILITY_CHECKS,
    INBOX_CHECKS,
    STORAGE_CHECKS,
    Check,
    OpenFrom,
)
from snakemq.storage.mongodb import MongoDbQueuesStorage
from tests.servers import MongoDb

pytestmark = pytest.mark.server

CHECKS = STORAGE_CHECKS + DURABILITY_CHECKS + INBOX_CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_mongodb_storage(check: Check, server: MongoDb) -> None:
    check(OpenFrom(partial(MongoDbQueuesStorage, server.url, 27017, "checks"), "{token}"))
