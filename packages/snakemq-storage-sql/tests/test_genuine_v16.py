"""What the genuine snakeMQ 1.6 has written, and its DDL.

``SNAKEMQ16_PYTHON`` names the Python of an environment with snakemq 1.6 from PyPI; for its
SQLAlchemy storage SQLAlchemy 1.3 and PyMySQL are there, too. On Python 3 that storage could not
write to PostgreSQL: it gives bytes for the text of a uuid, which become 66 characters, where 32 are
allowed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from snakemq.queues import QueuesStorageBase
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.servers import MariaDb
from tests.servers.fixtures import started

Written = dict[str, list[list[Any]]]
"""Per queue, in order: uuid and data in hex, ttl, flags."""

PYTHON = os.environ.get("SNAKEMQ16_PYTHON")

pytestmark = pytest.mark.skipif(not PYTHON, reason="SNAKEMQ16_PYTHON is not set")


@pytest.fixture
def written(path: Path) -> Written:
    return write(str(path))


def write(target: str) -> Written:
    assert PYTHON
    script = Path(__file__).with_name("write_v16_file.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [PYTHON, "-W", "ignore", str(script), target]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout
    result: Written = json.loads(output)
    return result


def check_contents(storage: QueuesStorageBase, written: Written) -> None:
    assert sorted(storage.get_queues()) == sorted(written)
    for queue_name, expected in written.items():
        found = [
            [item.uuid.hex(), item.data.hex(), item.ttl, item.flags]
            for item in storage.get_items(queue_name)
        ]
        assert found == expected


def test_a_file_is_taken_over_whole_and_in_order(path: Path, written: Written, clock: Any) -> None:
    for _ in range(2):
        with closing(SqliteQueuesStorage(path, clock=clock)) as storage:
            check_contents(storage, written)


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, path: Path) -> Iterator[str]:
    assert PYTHON
    needed = subprocess.run([PYTHON, "-c", "import sqlalchemy, pymysql"], capture_output=True)
    if needed.returncode and not os.environ.get("CI"):
        pytest.skip("the environment of 1.6 has no SQLAlchemy or PyMySQL")
    if request.param == "sqlite":
        yield f"sqlite:///{path}"
    else:
        with started(MariaDb) as server:
            yield server.url


@pytest.mark.server
def test_a_table_is_taken_over_whole_and_in_order(url: str, clock: Any) -> None:
    written = write(url)
    for _ in range(2):
        with closing(SqlAlchemyQueuesStorage(url, clock=clock)) as storage:
            check_contents(storage, written)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM snakemq_items_v16_backup").scalar()
    engine.dispose()
    assert kept == sum(map(len, written.values()))


@pytest.mark.usefixtures("written")
def test_the_imitation_has_the_table_of_the_genuine_one(path: Path, v16_table: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(v16_table)
        imitated = schema_of(connection)
    with closing(sqlite3.connect(path)) as connection:
        assert schema_of(connection) == imitated


def schema_of(connection: sqlite3.Connection) -> list[str]:
    return [" ".join(sql.split()) for (sql,) in connection.execute("SELECT sql FROM sqlite_master")]
