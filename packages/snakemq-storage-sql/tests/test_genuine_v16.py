"""A file that the genuine snakeMQ 1.6 has written, and its DDL.

``SNAKEMQ16_PYTHON`` names the Python of an environment with snakemq 1.6 from PyPI.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.storage.sqlite import SqliteQueuesStorage

PYTHON = os.environ.get("SNAKEMQ16_PYTHON")

pytestmark = pytest.mark.skipif(not PYTHON, reason="SNAKEMQ16_PYTHON is not set")


@pytest.fixture
def written(path: Path) -> dict[str, list[list[Any]]]:
    assert PYTHON
    script = Path(__file__).with_name("write_v16_file.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    output = subprocess.run(
        [PYTHON, str(script), str(path)], check=True, stdout=subprocess.PIPE, env=environment
    ).stdout
    result: dict[str, list[list[Any]]] = json.loads(output)
    return result


def test_it_is_taken_over_whole_and_in_order(
    path: Path, written: dict[str, list[list[Any]]], clock: Any
) -> None:
    for _ in range(2):
        with closing(SqliteQueuesStorage(path, clock=clock)) as storage:
            assert sorted(storage.get_queues()) == sorted(written)
            for queue_name, expected in written.items():
                found = [
                    [item.uuid.hex(), item.data.hex(), item.ttl, item.flags]
                    for item in storage.get_items(queue_name)
                ]
                assert found == expected


@pytest.mark.usefixtures("written")
def test_the_imitation_has_the_table_of_the_genuine_one(path: Path, v16_table: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(v16_table)
        imitated = schema_of(connection)
    with closing(sqlite3.connect(path)) as connection:
        assert schema_of(connection) == imitated


def schema_of(connection: sqlite3.Connection) -> list[str]:
    return [" ".join(sql.split()) for (sql,) in connection.execute("SELECT sql FROM sqlite_master")]
