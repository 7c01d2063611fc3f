"""Files as snakeMQ 1.6 wrote them, child processes, a clock that moves on request."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

# The statement of snakemq/storage/sqlite.py in snakemq 1.6.0, with MAX_IDENT_LENGTH (50) and twice
# MAX_UUID_LENGTH (16) filled in. test_genuine_v16.py compares it with what 1.6 itself creates.
V16_TABLE = (
    "CREATE TABLE items (queue_name VARCHAR(50), uuid VARCHAR(32), data BLOB, ttl REAL,"
    " flags INTEGER)"
)

V16Row = tuple[Any, Any, Any, Any, Any]


class FakeClock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queues.db"


@pytest.fixture
def write_v16(path: Path) -> Callable[..., Path]:
    """Writes a file as 1.6 did; ``rows`` are (queue_name, uuid in hex, data, ttl, flags)."""

    def write(rows: Iterable[V16Row], *settings: str) -> Path:
        with closing(sqlite3.connect(path)) as connection, connection:
            for setting in settings:
                connection.execute(setting)
            connection.execute(V16_TABLE)
            connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?)", rows)
        return path

    return write


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs ``code``, killed at the end of the block if it is still there."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def v16_table() -> str:
    """The statement with which 1.6 creates its table."""
    return V16_TABLE


StartChild = Callable[..., Any]


@pytest.fixture
def start_child() -> StartChild:
    return child


@pytest.fixture
def run_child() -> Callable[..., str]:
    """Runs ``code`` in a child to its end and returns what it printed."""

    def run(code: str, *arguments: object, returncode: int = 0) -> str:
        with child(code, *arguments) as process:
            output, _ = process.communicate()
        assert process.returncode == returncode
        return str(output)

    return run


@pytest.fixture
def query(path: Path) -> Callable[..., list[Any]]:
    """Runs SQL on the file past the storage, which must be closed."""

    def run(statement: str, *parameters: object) -> list[Any]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement, parameters).fetchall()

    return run
