"""The SQLite storage keeps the contract that all storages keep."""

from pathlib import Path

import pytest

from snakemq.queues.testing import (
    DURABILITY_CHECKS,
    INBOX_CHECKS,
    STORAGE_CHECKS,
    Check,
    OpenFrom,
)
from snakemq.storage.sqlite import SqliteQueuesStorage

CHECKS = STORAGE_CHECKS + DURABILITY_CHECKS + INBOX_CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_sqlite_storage(check: Check, tmp_path: Path) -> None:
    check(OpenFrom(SqliteQueuesStorage, f"{tmp_path}/{{token}}.db"))
